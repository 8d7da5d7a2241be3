-- Claims that have limits to keep, and the limits themselves. The story is told in migration 0004.

-- name: NeedsGuard
-- Index: queue_limit_pkey, live_run_ready_key. Whether limits or keys are to be minded on a queue now.
select exists (select 1 from engine.queue_limit where queue = $1 and concurrency_key = '')
  or exists (select 1 from engine.live_run where state = 'queued' and queue = $1 and concurrency_key is not null)

-- name: TryLockQueue
-- Locks: the queue's advisory lock, until the transaction ends. A statement of its own, so that the snapshots of the next
-- ones see what former holders committed. A holder that is frozen loses its session, and with it the lock, after some seconds.
select set_config('idle_in_transaction_session_timeout', '5s', true),
  pg_try_advisory_xact_lock(hashtextextended('exporter queue ' || $1, 0))

-- name: LockQueue
-- Locks: the same, waiting for it.
select pg_advisory_xact_lock(hashtextextended('exporter queue ' || $1, 0))

-- name: CountRunning
-- Index: live_run_held, which holds only what executes.
select concurrency_key, count(*)::int from engine.live_run where worker_id is not null and queue = $1 group by concurrency_key

-- name: LoadQueueLimit
-- Index: queue_limit_pkey.
select max_running, engine.tokens_left(tokens, refilled_at, rate_count, rate_period, burst),
  extract(epoch from rate_period)::float8 / rate_count
from engine.queue_limit where queue = $1 and concurrency_key = ''

-- name: LoadCandidates
-- Index: live_run_ready_key, stepping from one (priority, key) to the next, and live_run_ready. Of each the first few that are
-- due; $3 slots are free. At most $4 keys from the first on, and $4 more after ($5, $6), where the last look stopped.
with recursive head as (
  (select l.priority, l.concurrency_key from engine.live_run l
   where l.state = 'queued' and l.queue = $1 and l.concurrency_key is not null
   order by l.priority, l.concurrency_key limit 1)
  union all
  select n.priority, n.concurrency_key from head h cross join lateral (
    select l.priority, l.concurrency_key from engine.live_run l
    where l.state = 'queued' and l.queue = $1 and l.concurrency_key is not null
      and (l.priority, l.concurrency_key) > (h.priority, h.concurrency_key)
    order by l.priority, l.concurrency_key limit 1) n
), further as (
  select $5::smallint as priority, $6::text collate "C" as concurrency_key where $5 is not null
  union all
  select n.priority, n.concurrency_key from further h cross join lateral (
    select l.priority, l.concurrency_key from engine.live_run l
    where l.state = 'queued' and l.queue = $1 and l.concurrency_key is not null
      and (l.priority, l.concurrency_key) > (h.priority, h.concurrency_key)
    order by l.priority, l.concurrency_key limit 1) n
), pair as materialized (
  (select priority, concurrency_key from head limit $4)
  union
  (select priority, concurrency_key from further limit $4 + 1)
), few as materialized (
  select greatest(2, 2 * $3 / greatest(count(*), 1)) as runs from pair
)
select p.priority, p.concurrency_key, c.run_id, c.due_at, c.concurrency_limit, q.max_running,
  engine.tokens_left(q.tokens, q.refilled_at, q.rate_count, q.rate_period, q.burst),
  extract(epoch from q.rate_period)::float8 / q.rate_count
from pair p
left join engine.queue_limit q on q.queue = $1 and q.concurrency_key = p.concurrency_key
left join lateral (
  select l.run_id, l.due_at, l.concurrency_limit from engine.live_run l
  where l.state = 'queued' and l.queue = $1 and l.priority = p.priority and l.concurrency_key = p.concurrency_key
    and l.concurrency_key is not null and l.due_at <= engine.clock()
    and case when l.version is null then l.workflow else l.workflow || '@' || l.version end = any($2)
  order by l.due_at limit (select runs from few)
) c on true
union all
(select l.priority, null, l.run_id, l.due_at, null, null, null, null from engine.live_run l
 where l.state = 'queued' and l.queue = $1 and l.concurrency_key is null and l.due_at <= engine.clock()
    and case when l.version is null then l.workflow else l.workflow || '@' || l.version end = any($2)
 order by l.priority, l.due_at limit $3)

-- name: ClaimPicked
-- Index: live_run_pkey, queue_limit_pkey. Locks: under the queue's advisory lock, as ClaimRuns: the own worker row FOR KEY
-- SHARE, then live_run rows, skipping locked ones; then queue_limit rows, which pay a token for each.
with me as materialized (
  select worker_id from engine.worker
  where worker_id = $1 and state = 'active' and lease_until > engine.clock()
  for key share
), picked as materialized (
  select l.run_id from engine.live_run l
  where l.run_id = any($3) and l.state = 'queued' and l.queue = $2 and l.due_at <= engine.clock() and exists (select 1 from me)
  order by l.run_id
  for update of l skip locked
), claimed as (
  update engine.live_run l
  set state = 'running', worker_id = $1, epoch = l.epoch + 1, claimed_at = engine.clock(),
    started_at = coalesce(l.started_at, engine.clock()), wakes_on_event = false,
    version = coalesce(l.version, (select o.version from unnest($4::text[], $5::int[]) o(name, version) where o.name = l.workflow))
  from picked where l.run_id = picked.run_id
  returning l.run_id, l.workflow, l.epoch, l.base_epoch, l.priority, l.due_at, l.cancel_requested_at, l.version, l.run_attempt,
    l.has_children, l.concurrency_key
), paid as (
  update engine.queue_limit q
  set tokens = engine.tokens_left(q.tokens, q.refilled_at, q.rate_count, q.rate_period, q.burst) - n.runs,
    refilled_at = engine.clock()
  from (
    select '' as concurrency_key, count(*) as runs from claimed having count(*) > 0
    union all
    select concurrency_key, count(*) from claimed where concurrency_key is not null group by concurrency_key
  ) n
  where q.queue = $2 and q.concurrency_key = n.concurrency_key and q.rate_count is not null
)
select c.run_id, c.workflow, c.epoch, c.base_epoch, c.cancel_requested_at is not null, r.input, r.scheduled_for, c.version,
  c.run_attempt, r.retry::text, r.parent_run_id is not null, c.has_children, c.priority, c.due_at
from claimed c join engine.run r using (run_id)
order by c.priority, c.due_at, c.run_id

-- name: SetLimit
-- Index: queue_limit_pkey. Locks: the row, under the queue's advisory lock. A new rate begins with a full bucket; a changed one
-- keeps what is left in it.
insert into engine.queue_limit as q (queue, concurrency_key, max_running, rate_count, rate_period, burst, tokens, refilled_at)
values ($1, $2, $3, $4, $5, $6, coalesce($6, 0), engine.clock())
on conflict (queue, concurrency_key) do update
set max_running = excluded.max_running, rate_count = excluded.rate_count, rate_period = excluded.rate_period,
  burst = excluded.burst, refilled_at = engine.clock(), updated_at = engine.clock(),
  tokens = case when q.rate_count is null then excluded.tokens else least(
    excluded.burst, engine.tokens_left(q.tokens, q.refilled_at, q.rate_count, q.rate_period, q.burst)) end

-- name: ClearLimit
-- Index: queue_limit_pkey. Locks: the row.
delete from engine.queue_limit where queue = $1 and concurrency_key = $2

-- name: TellQueue
select pg_notify('engine', 'queue ' || $1)

-- name: GetLimit
-- Index: queue_limit_pkey.
select max_running, rate_count, rate_period, burst from engine.queue_limit where queue = $1 and concurrency_key = $2

-- name: MeasureQueue
-- Index: live_run_ready, live_run_ready_key. How many runs are due and wait for a slot, and for how long the oldest has been
-- due; of each kind at most 100,000 are looked at.
select least(count(*), 100000), coalesce(extract(epoch from engine.clock() - min(d.due_at)), 0)::float8
from (
  (select l.due_at from engine.live_run l
   where l.state = 'queued' and l.queue = $1 and l.concurrency_key is null and l.due_at <= engine.clock() limit 100000)
  union all
  (select l.due_at from engine.live_run l
   where l.state = 'queued' and l.queue = $1 and l.concurrency_key is not null and l.due_at <= engine.clock() limit 100000)
) d
