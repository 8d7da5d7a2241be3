-- Statements that steer runs from outside, and those that carry the end of one run to others.

-- name: PauseRun
-- Index: live_run_pkey. Locks: the live_run row. A run that executes is told, and pauses after the steps in progress.
with marked as (
  update engine.live_run l
  set pause_requested_at = coalesce(l.pause_requested_at, engine.clock()),
    state = case when l.state in ('queued', 'waiting') then 'paused' else l.state end
  where l.run_id = $1 and l.cancel_requested_at is null
  returning l.run_id
)
select count(*) from (select pg_notify('engine', 'pause ' || run_id) from marked) told

-- name: ResumeRun
-- Index: live_run_pkey. Locks: the live_run row.
with marked as (
  update engine.live_run l
  set pause_requested_at = null,
    due_at = case when l.state = 'paused' then engine.clock() else l.due_at end,
    state = case when l.state = 'paused' then 'queued' else l.state end
  where l.run_id = $1 and l.pause_requested_at is not null
  returning l.queue
)
select count(*) from (select pg_notify('engine', 'queue ' || queue) from marked) told

-- name: TerminateRuns
-- Index: live_run_pkey. Locks: live_run rows in the order of run_id; waits for a write that is just under way. Whoever holds
-- such a run can write nothing more.
with target as materialized (
  select run_id from engine.live_run where run_id = any($1) order by run_id for update
), ended as (
  delete from engine.live_run l using target t where l.run_id = t.run_id
  returning l.run_id, l.epoch, l.worker_id, l.started_at, l.cancel_requested_at, l.parent_run_id, l.has_children, l.version, l.run_attempt
), kept as (
  insert into engine.outcome (run_id, state, epoch, worker_id, error, started_at, cancel_requested_at, version, run_attempt)
  select run_id, 'terminated', epoch, worker_id, $2, started_at, cancel_requested_at, version, run_attempt from ended
), closed as (
  delete from engine.open_step p using ended e where p.run_id = e.run_id
), relayed as (
  insert into engine.relay (kind, run_id)
  select 'child_ended', parent_run_id from ended where parent_run_id is not null
  union all select 'parent_ended', run_id from ended where has_children
)
select count(*) from (select pg_notify('engine', 'drop ' || run_id) from ended) told

-- name: ResetRun
-- Index: live_run_pkey, outcome_pkey, step_record_pkey. Locks: the live_run row, or the outcome row. Whoever holds the run is
-- fenced out; what was recorded from the place on is forgotten, and signals that it took can be taken again.
with target as materialized (
  select run_id from engine.live_run where run_id = $1 for update
), fenced as (
  update engine.live_run l
  set state = 'queued', worker_id = null, epoch = l.epoch + 1, base_epoch = l.epoch + 1, due_at = engine.clock(),
    cancel_requested_at = null, pause_requested_at = null
  from target t where l.run_id = t.run_id
  returning l.run_id, l.queue
), back as (
  delete from engine.outcome where run_id = $1 returning run_id, epoch, started_at, version, run_attempt
), live as (
  insert into engine.live_run (run_id, workflow, queue, priority, state, epoch, base_epoch, due_at, started_at,
    parent_run_id, has_children, deadline_at, version, run_attempt,
    concurrency_key, concurrency_limit)
  select r.run_id, r.workflow, r.queue, r.priority, 'queued', b.epoch, b.epoch, engine.clock(), b.started_at,
    r.parent_run_id, exists (select 1 from engine.run c where c.parent_run_id = r.run_id),
    engine.clock() + r.execution_timeout, b.version, b.run_attempt,
    r.concurrency_key, r.concurrency_limit
  from back b join engine.run r using (run_id)
  returning run_id, queue
), again as (
  select run_id, queue from fenced union all select run_id, queue from live
), forgotten as (
  delete from engine.step_record s using again a where s.run_id = a.run_id and s.place >= $2
), closed as (
  delete from engine.open_step p using again a where p.run_id = a.run_id and p.place >= $2
), returned as (
  update engine.signal g set taken_place = null, taken_at = null from again a where g.run_id = a.run_id and g.taken_place >= $2
)
select count(*) from (select pg_notify('engine', 'queue ' || queue), pg_notify('engine', 'drop ' || run_id) from again) told

-- name: SendSignal
-- Index: signal_idempotency, live_run_pkey. Locks: the signal's row, then the live_run row. Nothing is sent to a run that is
-- final. The answer: 1 when it was sent now, 0 when the key was there before, null when there is no such live run.
with target as materialized (
  select run_id from engine.live_run where run_id = $1
), sent as (
  insert into engine.signal (run_id, name, idempotency_key, payload)
  select run_id, $2, $3, $4 from target
  on conflict (run_id, idempotency_key) where idempotency_key is not null do nothing
  returning run_id
), woken as (
  update engine.live_run l
  set events = l.events + 1,
    due_at = case when l.state = 'waiting' and l.wakes_on_event then engine.clock() else l.due_at end,
    state = case when l.state = 'waiting' and l.wakes_on_event then 'queued' else l.state end
  from sent s where l.run_id = s.run_id
  returning l.run_id, l.queue, l.state
), told as (
  select case when state = 'queued' then pg_notify('engine', 'queue ' || queue) else pg_notify('engine', 'event ' || run_id) end
  from woken
)
select (select count(*) from told) from target

-- name: ListRuns
-- Index: run_created.
select run_id, workflow, queue, state, epoch, error, created_at, due_at, finished_at, cancel_requested_at is not null,
  custom_status, version, run_attempt, parent_run_id, tags
from engine.runs
where ($1::text is null or workflow = $1) and ($2::text is null or state = $2) and ($3::text is null or queue = $3)
  and ($4::timestamptz is null or created_at >= $4) and ($5::timestamptz is null or created_at < $5)
  and ($6::uuid is null or parent_run_id = $6)
order by created_at desc, run_id desc limit $7

-- name: ListTaggedRuns
-- Index: run_tags.
select run_id, workflow, queue, state, epoch, error, created_at, due_at, finished_at, cancel_requested_at is not null,
  custom_status, version, run_attempt, parent_run_id, tags
from engine.runs
where ($1::text is null or workflow = $1) and ($2::text is null or state = $2) and ($3::text is null or queue = $3)
  and ($4::timestamptz is null or created_at >= $4) and ($5::timestamptz is null or created_at < $5)
  and ($6::uuid is null or parent_run_id = $6) and tags <> '{}' and tags @> $8
order by created_at desc, run_id desc limit $7
