-- Statements of a worker about itself and about the runs that it takes.

-- name: RegisterWorker
insert into engine.worker (worker_id, name, queue, slots, state, lease_until)
values ($1, $2, $3, $4, 'active', engine.clock() + $5)

-- name: RenewLease
-- Index: worker_pkey. No row: the lease was taken away, and with it every run.
update engine.worker
set lease_until = engine.clock() + $2, renewed_at = engine.clock(), executing = $3, state = $4,
  refused_writes = refused_writes + $5
where worker_id = $1 and state in ('active', 'stopping')
returning worker_id

-- name: OfferWorkflows
insert into engine.worker_offer (worker_id, workflow, version) select $1, o.name, o.version from unnest($2::text[], $3::int[]) o(name, version)

-- name: SteeredRuns
-- Index: live_run_held, live_run_pkey. What became, without this worker, of the runs that it holds: to be cancelled, to be
-- paused, or taken away.
select k.run_id,
  case when l.run_id is null then 'drop' when l.cancel_requested_at is not null then 'cancel' else 'pause' end
from unnest($2::uuid[]) k(run_id)
left join engine.live_run l on l.run_id = k.run_id and l.run_id = any($2) and l.worker_id is not distinct from $1
where l.run_id is null or l.cancel_requested_at is not null or l.pause_requested_at is not null

-- name: StopWorker
-- Index: worker_pkey.
update engine.worker set state = 'stopped', executing = 0, lease_until = engine.clock(), refused_writes = refused_writes + $2
where worker_id = $1 and state in ('active', 'stopping')

-- name: CountRefused
-- Index: worker_pkey. For a worker that is lost already, so that its refused writes are seen.
update engine.worker set refused_writes = refused_writes + $2 where worker_id = $1

-- name: LookAround
-- Index: live_run_ready, live_run_ready_key, live_run_due, schedule_due, schedule_buffered, live_run_held, outcome_finished,
-- live_run_deadline, relay_pkey. All that an idle worker has to know, in one statement: whether runs of its queue $1 are ready, in
-- how many seconds the next waiting run and the next schedule are due, whether schedules have a buffer; whether a sweep, which is
-- a handful of statements, would find anything to do (workers to be marked or forgotten, runs or sessions of lost ones, runs kept
-- for longer than $2); and whether deadlines have passed or ends of runs are to be carried.
select
  exists (select 1 from engine.live_run where state = 'queued' and queue = $1 and concurrency_key is null and due_at <= engine.clock())
    or exists (select 1 from engine.live_run where state = 'queued' and queue = $1 and concurrency_key is not null),
  extract(epoch from (select min(due_at) from engine.live_run where state = 'waiting') - engine.clock())::float8,
  extract(epoch from (select min(next_at) from engine.schedule where not blocked) - engine.clock())::float8,
  exists (select 1 from engine.schedule where buffered > 0 and not blocked),
  exists (
    select 1 from engine.worker w
    where (w.state in ('active', 'stopping') and w.lease_until < engine.clock())
      or (w.state = 'lost' and w.lease_until > engine.clock() - interval '1 hour')
      or (w.state in ('lost', 'stopped') and w.renewed_at < engine.clock() - interval '7 days')
      or (w.state in ('lost', 'stopped') and exists (select 1 from engine.live_run l where l.worker_id = w.worker_id)))
  or exists (select 1 from engine.outcome where finished_at < engine.clock() - $2::interval),
  exists (select 1 from engine.live_run where deadline_at <= engine.clock()) or exists (select 1 from engine.relay)

-- name: MarkLost
-- Locks: worker rows, skipping those of others that sweep; waits for no claim, which holds the row FOR KEY SHARE.
with gone as materialized (
  select worker_id from engine.worker
  where state in ('active', 'stopping') and lease_until < engine.clock()
  order by worker_id for update skip locked
)
update engine.worker w set state = 'lost', executing = 0 from gone where w.worker_id = gone.worker_id
returning w.worker_id, w.name

-- name: ReleaseLost
-- Index: live_run_held. Locks: live_run rows of workers that are lost or stopped, skipping those on which a write is just
-- under way. The new epoch refuses whatever the old holder still writes. Attempts that were in progress are kept as failed.
with orphan as materialized (
  select l.run_id, w.name as worker, w.state
  from engine.worker w join engine.live_run l using (worker_id)
  where w.state in ('lost', 'stopped')
  order by l.run_id
  limit 10000
  for update of l skip locked
), freed as (
  update engine.live_run l
  set state = case when l.pause_requested_at is not null then 'paused' else 'queued' end::engine.run_state,
    worker_id = null, epoch = l.epoch + 1, due_at = engine.clock()
  from orphan o where l.run_id = o.run_id
  returning l.run_id, l.queue, l.epoch - 1 as old_epoch, o.worker
), attempts as (
  insert into engine.attempt_record (run_id, place, attempt, name, epoch, worker_id, error, retry_at, started_at)
  select p.run_id, p.place, p.attempt, p.name, p.epoch, p.worker_id,
    'The worker ' || f.worker || ' was lost.', engine.clock(), p.started_at
  from freed f join engine.open_step p on p.run_id = f.run_id and p.epoch = f.old_epoch
  where not exists (select 1 from engine.step_record s where s.run_id = p.run_id and s.place = p.place)
  on conflict do nothing
), lines as (
  insert into engine.log_line (run_id, level, message)
  select run_id, 'warning', 'The lease of worker ' || worker || ' ended; the run goes on elsewhere.' from freed
), told as (
  select pg_notify('engine', 'queue ' || queue) from (select distinct queue from freed) q
)
select f.run_id, (select count(*) from told) from freed f

-- name: EndSessionsOfLost
-- A process that is frozen in the middle of a transaction keeps its lock; the server can end that session.
select pg_terminate_backend(a.pid)
from pg_stat_activity a
join engine.worker w on a.application_name = 'exporter ' || w.worker_id
where w.state = 'lost' and w.lease_until < engine.clock() - $1::interval
  and (exists (select 1 from engine.live_run l where l.worker_id = w.worker_id)
    or exists (select 1 from pg_locks k where k.pid = a.pid and k.locktype = 'advisory'))

-- name: ForgetWorkers
-- Workers that ended long ago and hold nothing.
with gone as (
  delete from engine.worker w
  where w.state in ('lost', 'stopped') and w.renewed_at < engine.clock() - interval '7 days'
    and not exists (select 1 from engine.live_run l where l.worker_id = w.worker_id)
  returning w.worker_id
)
delete from engine.worker_offer f using gone g where f.worker_id = g.worker_id

-- name: ForgetRuns
-- Index: outcome_finished, live_run_pkey. Runs that were final long ago, and all that belongs to them, but for those whose
-- parent may still ask for their result. Locks: outcome rows, skipping locked ones, so that nobody asks for them again meanwhile.
with old as materialized (
  select o.run_id from engine.outcome o join engine.run r using (run_id)
  where o.finished_at < engine.clock() - $1::interval
    and not exists (select 1 from engine.live_run p where p.run_id = r.parent_run_id)
  order by o.finished_at limit $2
  for update of o skip locked
), steps as (
  delete from engine.step_record t using old where t.run_id = old.run_id
), open_steps as (
  delete from engine.open_step t using old where t.run_id = old.run_id
), attempts as (
  delete from engine.attempt_record t using old where t.run_id = old.run_id
), lines as (
  delete from engine.log_line t using old where t.run_id = old.run_id
), signals as (
  delete from engine.signal t using old where t.run_id = old.run_id
), statuses as (
  delete from engine.run_status t using old where t.run_id = old.run_id
), runs as (
  delete from engine.run t using old where t.run_id = old.run_id
)
delete from engine.outcome t using old where t.run_id = old.run_id

-- name: WakeDue
-- Index: live_run_due, from $1 on (see ClaimFront). Locks: live_run rows, skipping locked ones.
with due as materialized (
  select run_id from engine.live_run
  where state = 'waiting' and due_at >= $1 and due_at <= engine.clock()
  order by due_at limit 1000 for update skip locked
)
update engine.live_run set state = 'queued' where run_id = any(array(select run_id from due))

-- name: MeasureLook
-- The time, and how many index entries of what waits this transaction (and others of the session, shortly before) walked over:
-- what it answers after a look less what it answered before is what the look cost.
select engine.clock(), pg_stat_get_xact_tuples_returned('engine.live_run_ready'::regclass)
  + pg_stat_get_xact_tuples_returned('engine.live_run_due'::regclass)

-- name: ClaimRuns
-- Index: live_run_ready, in the ranges of ($7, $8) to $9, one after the other (see ClaimFront). Locks: the own worker row FOR KEY
-- SHARE, so that it cannot be swept meanwhile, then live_run rows, skipping locked ones. Takes nothing where NeedsGuard
-- (queues.sql) says so: then limits and turns have to be kept. After PlanForMany (writes.sql): otherwise the planner may sort all
-- that waits.
with me as materialized (
  select worker_id from engine.worker
  where worker_id = $1 and state = 'active' and lease_until > engine.clock()
  for key share
), picked as materialized (
  select l.run_id
  from unnest($7::smallint[], $8::timestamptz[], $9::int[]) part(priority, due_at, below)
  cross join lateral (
    select l.run_id from engine.live_run l
    where l.state = 'queued' and l.queue = $2 and l.due_at <= engine.clock()
      and (l.priority, l.due_at) >= (part.priority, part.due_at) and l.priority < part.below
      and case when l.version is null then l.workflow else l.workflow || '@' || l.version end = any($3)
      and l.concurrency_key is null
      and exists (select 1 from me)
      and not exists (select 1 from engine.queue_limit where queue = $2 and concurrency_key = '')
      and not exists (select 1 from engine.live_run where state = 'queued' and queue = $2 and concurrency_key is not null)
    order by l.priority, l.due_at
    for update of l skip locked
  ) l
  limit $4
), claimed as (
  update engine.live_run l
  set state = 'running', worker_id = $1, epoch = l.epoch + 1, claimed_at = engine.clock(),
    started_at = coalesce(l.started_at, engine.clock()), wakes_on_event = false,
    version = coalesce(l.version, (select o.version from unnest($5::text[], $6::int[]) o(name, version) where o.name = l.workflow))
  where l.run_id = any(array(select run_id from picked))
  returning l.run_id, l.workflow, l.epoch, l.base_epoch, l.priority, l.due_at, l.cancel_requested_at, l.version, l.run_attempt,
    l.has_children
)
select c.run_id, c.workflow, c.epoch, c.base_epoch, c.cancel_requested_at is not null, r.input, r.scheduled_for, c.version,
  c.run_attempt, r.retry::text, r.parent_run_id is not null, c.has_children, c.priority, c.due_at
from claimed c join engine.run r using (run_id)
where r.run_id = any(array(select run_id from picked))
order by c.priority, c.due_at, c.run_id

-- name: GiveBackStrays
-- Index: live_run_held. Locks: live_run rows of this worker alone.
update engine.live_run
set state = case when pause_requested_at is not null then 'paused' else 'queued' end::engine.run_state, worker_id = null,
  epoch = epoch + 1
where worker_id = $1 and run_id <> all($2)

-- name: LoadRecords
-- Index: step_record_pkey. What claimed runs have done before.
select s.run_id, s.place, s.name, s.attempts, s.output, s.error,
  extract(epoch from s.wake_at - engine.clock())::float8
from engine.step_record s where s.run_id = any($1) order by s.run_id, s.place

-- name: LoadOpenSteps
-- Index: open_step_pkey, attempt_record_pkey. Steps that had begun: their checkpoint, and how their attempts went.
select run_id, place, p.checkpoint, greatest(a.attempt, p.attempt) as attempt, coalesce(a.counted, 0)::int as counted,
  extract(epoch from a.retry_at - engine.clock())::float8 as retry_in,
  extract(epoch from engine.clock() - a.first_at)::float8 as begun_ago
from (
  select a.run_id, a.place, max(a.attempt) as attempt, count(*) filter (where a.epoch > b.base_epoch) as counted,
    max(a.retry_at) filter (where a.epoch > b.base_epoch) as retry_at,
    min(a.started_at) filter (where a.epoch > b.base_epoch) as first_at
  from unnest($1::uuid[], $2::bigint[]) b(run_id, base_epoch) join engine.attempt_record a using (run_id)
  group by a.run_id, a.place
) a
full join (select * from engine.open_step where run_id = any($1)) p using (run_id, place)

-- name: CountStranded
-- Index: live_run_ready, live_run_ready_key. Runs of these queues that have been due for so long and that no live worker can go
-- on with. Looks at the first thousand of each queue, so that a long queue costs no more: what nobody takes comes to stand there.
select count(*) from unnest($1::text[]) q(queue) cross join lateral (
  (select l.workflow, l.version, l.due_at from engine.live_run l
   where l.state = 'queued' and l.queue = q.queue and l.concurrency_key is null
   order by l.priority, l.due_at limit 1000)
  union all
  (select l.workflow, l.version, l.due_at from engine.live_run l
   where l.state = 'queued' and l.queue = q.queue and l.concurrency_key is not null
   order by l.priority, l.concurrency_key, l.due_at limit 1000)
) l
where l.due_at <= engine.clock() - $2::interval and not exists (
  select 1 from engine.worker w join engine.worker_offer f using (worker_id)
  where w.queue = q.queue and w.state = 'active' and w.lease_until > engine.clock()
    and f.workflow = l.workflow and (l.version is null or f.version = l.version))
