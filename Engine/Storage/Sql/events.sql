-- Statements about what happens to runs: signals, the ends of their parents and children, deadlines.

-- name: SeenEvents
-- Index: live_run_pkey, signal_waiting. How many events the run has had; read before what they may have brought.
select l.events from engine.live_run l where l.run_id = $1

-- name: HasSignal
-- Index: signal_waiting.
select exists (select 1 from engine.signal where run_id = $1 and name = $2 and taken_place is null)

-- name: TakeSignal
-- Index: signal_waiting. Locks: the signal's row. In the transaction that records the wait's end, under the run's epoch.
update engine.signal g set taken_place = $3, taken_at = engine.clock()
from (
  select signal_id from engine.signal where run_id = $1 and name = $2 and taken_place is null order by signal_id limit 1 for update
) n
where g.signal_id = n.signal_id
returning g.payload, g.sent_at, g.signal_id

-- name: MarkParent
-- Index: live_run_pkey. In the transaction that starts a child, under the run's epoch.
update engine.live_run set has_children = true where run_id = $1

-- name: TimeOutRuns
-- Index: live_run_deadline. Locks: live_run rows, skipping those on which a write is just under way.
with target as materialized (
  select run_id from engine.live_run where deadline_at <= engine.clock() order by deadline_at limit 1000 for update skip locked
), ended as (
  delete from engine.live_run l using target t where l.run_id = t.run_id
  returning l.run_id, l.epoch, l.worker_id, l.started_at, l.cancel_requested_at, l.parent_run_id, l.has_children, l.version, l.run_attempt
), kept as (
  insert into engine.outcome (run_id, state, epoch, worker_id, error, started_at, cancel_requested_at, version, run_attempt)
  select e.run_id, 'timed_out', e.epoch, e.worker_id, 'The run took longer than its execution timeout, ' || r.execution_timeout || '.',
    e.started_at, e.cancel_requested_at, e.version, e.run_attempt
  from ended e join engine.run r using (run_id)
), closed as (
  delete from engine.open_step p using ended e where p.run_id = e.run_id
), relayed as (
  insert into engine.relay (kind, run_id)
  select 'child_ended', parent_run_id from ended where parent_run_id is not null
  union all select 'parent_ended', run_id from ended where has_children
)
select count(*) from (select pg_notify('engine', 'drop ' || run_id) from ended) told

-- name: WakeParents
-- Index: relay_pkey, live_run_pkey. Locks: relay rows and live_run rows, skipping locked ones: it never waits, so the order of
-- the rows does not matter. A parent that is just being written to stays noted until the next time.
with taken as materialized (
  select relay_id, run_id from engine.relay where kind = 'child_ended' order by relay_id limit 1000 for update skip locked
), target as materialized (
  select l.run_id from engine.live_run l where l.run_id in (select run_id from taken) for no key update skip locked
), woken as (
  update engine.live_run l
  set events = l.events + 1,
    due_at = case when l.state = 'waiting' and l.wakes_on_event then engine.clock() else l.due_at end,
    state = case when l.state = 'waiting' and l.wakes_on_event then 'queued' else l.state end
  from target t where l.run_id = t.run_id
  returning l.run_id, l.queue, l.state
), done as (
  delete from engine.relay r using taken t
  where r.relay_id = t.relay_id and (exists (select 1 from target g where g.run_id = t.run_id)
    or not exists (select 1 from engine.live_run l where l.run_id = t.run_id))
  returning r.relay_id
), told as (
  select case when state = 'queued' then pg_notify('engine', 'queue ' || queue) else pg_notify('engine', 'event ' || run_id) end
  from woken
)
select (select count(*) from done), (select count(*) from taken), (select count(*) from told)

-- name: EndedParents
-- Index: relay_pkey.
select relay_id, run_id from engine.relay where kind = 'parent_ended' order by relay_id limit 100

-- name: ForgetRelay
-- Index: relay_pkey.
delete from engine.relay where relay_id = any($1)

-- name: HoldRelay
-- Index: relay_pkey. Locks: the row, until the child's end is committed. None: others have carried it, and what has become of the
-- child since is none of its business. Who is frozen here loses the session, and with it the lock, after some seconds.
with noted as materialized (
  select relay_id from engine.relay where relay_id = $1 for key share
)
select set_config('idle_in_transaction_session_timeout', '5s', true) from noted

-- name: OrphanedChildren
-- Index: run_parent, live_run_pkey.
select r.run_id, r.on_parent_close, r.parent_run_id from engine.run r join engine.live_run l using (run_id)
where r.parent_run_id = any($1) and r.on_parent_close <> 'abandon'
