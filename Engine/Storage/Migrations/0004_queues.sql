-- Limits of queues and of concurrency keys.
--
-- A run with a concurrency key starts only while fewer than its limit of the queue's runs with that key execute. A queue, and
-- each key in it, may besides have limits of its own: how many execute at once, and how many start in a period (a bucket of
-- tokens that engine.clock() refills; every claim takes one).
--
-- Runs without a key, on a queue without limits, are claimed as ever, by one statement (ClaimRuns). Where a queue has limits,
-- or runs with a key are ready, a claimer first takes the queue's advisory lock, so that what it counts next includes all
-- that others claimed before, and stays true until it commits.
--
-- Lock order: the queue's advisory lock before all others; queue_limit after live_run.

alter table engine.run
  add concurrency_key text collate "C" check (length(concurrency_key) between 1 and 200),
  add concurrency_limit integer check (concurrency_limit between 1 and 10000),
  add check ((concurrency_key is null) = (concurrency_limit is null));

alter table engine.live_run
  add concurrency_key text collate "C",
  add concurrency_limit integer,
  add check ((concurrency_key is null) = (concurrency_limit is null));

-- Runs without a key are found as before; those with one by stepping from key to key.
drop index engine.live_run_ready;
create index live_run_ready on engine.live_run (queue, priority, due_at, run_id)
  where state = 'queued' and concurrency_key is null;
create index live_run_ready_key on engine.live_run (queue, priority, concurrency_key, due_at, run_id)
  where state = 'queued' and concurrency_key is not null;

create table engine.queue_limit (
  queue text not null check (length(queue) between 1 and 100),
  -- Empty: the limits of the queue itself.
  concurrency_key text collate "C" not null check (length(concurrency_key) <= 200),
  max_running integer check (max_running between 1 and 1000000),
  rate_count integer check (rate_count between 1 and 1000000),
  rate_period interval check (rate_period > interval '0'),
  burst integer check (burst between 1 and 1000000),
  tokens double precision not null default 0,
  refilled_at timestamptz not null default engine.clock(),
  updated_at timestamptz not null default engine.clock(),
  primary key (queue, concurrency_key),
  check (max_running is not null or rate_count is not null),
  check (num_nonnulls(rate_count, rate_period, burst) in (0, 3))
) with (fillfactor = 50);

create function engine.tokens_left(
  tokens double precision, refilled_at timestamptz, rate_count integer, rate_period interval, burst integer)
returns double precision language sql stable parallel safe as
'select least(burst, tokens + rate_count * greatest(0, extract(epoch from engine.clock() - refilled_at)::double precision)
  / extract(epoch from rate_period)::double precision)';

create or replace view engine.runs as
select r.run_id, r.workflow, r.queue, r.priority, coalesce(l.state, o.state)::text as state,
  coalesce(l.epoch, o.epoch) as epoch, coalesce(l.worker_id, o.worker_id) as worker_id,
  r.created_at, coalesce(l.started_at, o.started_at) as started_at, l.due_at, o.finished_at,
  coalesce(l.cancel_requested_at, o.cancel_requested_at) as cancel_requested_at,
  case when o.run_id is not null then o.error
    else (select a.error from engine.attempt_record a where a.run_id = r.run_id order by a.ended_at desc limit 1) end as error,
  r.tags, r.idempotency_key, r.schedule_id, r.scheduled_for,
  coalesce(l.version, o.version) as version, coalesce(l.run_attempt, o.run_attempt) as run_attempt,
  r.parent_run_id, l.pause_requested_at, l.deadline_at, s.status as custom_status, r.restarts,
  r.concurrency_key, r.concurrency_limit
from engine.run r
left join engine.live_run l using (run_id)
left join engine.outcome o using (run_id)
left join engine.run_status s using (run_id);

create or replace view engine.queues as
select queue, coalesce(n.queued, 0) as queued, coalesce(n.running, 0) as running, coalesce(n.waiting, 0) as waiting,
  n.oldest_due_at, q.max_running, q.rate_count, q.rate_period, q.burst,
  engine.tokens_left(q.tokens, q.refilled_at, q.rate_count, q.rate_period, q.burst) as tokens
from (
  select l.queue, count(*) filter (where l.state = 'queued' and l.due_at <= engine.clock()) as queued,
    count(*) filter (where l.state = 'running') as running,
    count(*) filter (where l.state in ('waiting', 'paused') or (l.state = 'queued' and l.due_at > engine.clock())) as waiting,
    min(l.due_at) filter (where l.state = 'queued' and l.due_at <= engine.clock()) as oldest_due_at
  from engine.live_run l group by l.queue
) n
full join (select * from engine.queue_limit where concurrency_key = '') q using (queue);
comment on view engine.queues is
  'One row a queue that has unfinished runs or limits. tokens: how many runs its rate lets start now.';

create view engine.concurrency_keys as
select queue, concurrency_key, coalesce(n.queued, 0) as queued, coalesce(n.running, 0) as running,
  coalesce(n.waiting, 0) as waiting, n.oldest_due_at, q.max_running, q.rate_count, q.rate_period, q.burst,
  
  engine.tokens_left(q.tokens, q.refilled_at, q.rate_count, q.rate_period, q.burst) as tokens
from (
  select l.queue, l.concurrency_key, count(*) filter (where l.state = 'queued' and l.due_at <= engine.clock()) as queued,
    count(*) filter (where l.state = 'running') as running,
    count(*) filter (where l.state in ('waiting', 'paused') or (l.state = 'queued' and l.due_at > engine.clock())) as waiting,
    min(l.due_at) filter (where l.state = 'queued' and l.due_at <= engine.clock()) as oldest_due_at
  from engine.live_run l where l.concurrency_key is not null group by l.queue, l.concurrency_key
) n
full join (select * from engine.queue_limit where concurrency_key <> '') q using (queue, concurrency_key);
comment on view engine.concurrency_keys is
  'One row a concurrency key of a queue that has unfinished runs or limits of its own.';

do $$
begin
  grant select on engine.concurrency_keys to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
