-- Statements of those who start, look at and steer runs.

-- name: StartRun
-- Index: run_idempotency. Locks: the new rows; waits for another start with the same key.
with new_run as (
  insert into engine.run (run_id, workflow, queue, priority, idempotency_key, input, tags, start_at, execution_timeout, retry, parent_run_id,
    on_parent_close, concurrency_key, concurrency_limit)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, $13, $14, $15)
  on conflict (workflow, idempotency_key) where idempotency_key is not null do nothing
  returning run_id, workflow, queue, priority, start_at, execution_timeout, parent_run_id,
    concurrency_key, concurrency_limit
), live as (
  insert into engine.live_run (run_id, workflow, queue, priority, state, due_at, deadline_at, version, parent_run_id,
    concurrency_key, concurrency_limit)
  select run_id, workflow, queue, priority,
    case when start_at > engine.clock() then 'waiting' else 'queued' end::engine.run_state,
    coalesce(start_at, engine.clock()), coalesce(start_at, engine.clock()) + execution_timeout, $11, parent_run_id,
    concurrency_key, concurrency_limit
  from new_run
  returning run_id, queue
)
select run_id, pg_notify('engine', 'queue ' || queue) from live

-- name: FindByKey
-- Index: run_idempotency.
select run_id from engine.run where workflow = $1 and idempotency_key = $2

-- name: GetRun
-- Index: run_pkey and its equals in the view.
select run_id, workflow, queue, state, epoch, error, created_at, due_at, finished_at, cancel_requested_at is not null,
  custom_status, version, run_attempt, parent_run_id, tags
from engine.runs where run_id = $1

-- name: GetOutcome
-- Index: outcome_pkey.
select state::text, output, error from engine.outcome where run_id = $1

-- name: GetResult
-- Index: run_pkey, outcome_pkey. No row: there is no such run; nulls: it is not final.
select o.state::text, o.output, o.error from engine.run r left join engine.outcome o using (run_id) where r.run_id = $1

-- name: CancelRun
-- Index: live_run_pkey. Locks: the live_run row. A run that never began ends here; another is told, and ends itself.
with target as materialized (
  select run_id, epoch = 0 and state <> 'running' as unbegun from engine.live_run where run_id = $1 for update
), ended as (
  delete from engine.live_run l using target t where l.run_id = t.run_id and t.unbegun
  returning l.run_id, l.epoch, l.parent_run_id
), kept as (
  insert into engine.outcome (run_id, state, epoch, error, cancel_requested_at)
  select run_id, 'cancelled', epoch, 'Cancelled before it began.', engine.clock() from ended
  returning run_id
), relayed as (
  insert into engine.relay (kind, run_id) select 'child_ended', parent_run_id from ended where parent_run_id is not null
), marked as (
  update engine.live_run l
  set cancel_requested_at = coalesce(l.cancel_requested_at, engine.clock()), pause_requested_at = null,
    state = case when l.state in ('waiting', 'paused') then 'queued' else l.state end,
    due_at = case when l.state in ('waiting', 'paused') then engine.clock() else l.due_at end
  from target t where l.run_id = t.run_id and not t.unbegun
  returning l.run_id, l.queue
), told as (
  select pg_notify('engine', 'cancel ' || run_id), pg_notify('engine', 'queue ' || queue) from marked
)
select (select count(*) from kept) + (select count(*) from told)

-- name: RetryRun
-- Index: outcome_pkey, step_record_pkey. Locks: the outcome row. Its records stay but for final failures; the epoch goes on.
with back as (
  delete from engine.outcome where run_id = $1 and state in ('failed', 'cancelled', 'terminated', 'timed_out')
  returning run_id, epoch, started_at, version, run_attempt
), forgotten as (
  delete from engine.step_record s using back b where s.run_id = b.run_id and s.error is not null
), live as (
  insert into engine.live_run (run_id, workflow, queue, priority, state, epoch, base_epoch, due_at, started_at,
    parent_run_id, has_children, deadline_at, version, run_attempt,
    concurrency_key, concurrency_limit)
  select r.run_id, r.workflow, r.queue, r.priority, 'queued', b.epoch, b.epoch, engine.clock(), b.started_at,
    r.parent_run_id, exists (select 1 from engine.run c where c.parent_run_id = r.run_id),
    engine.clock() + r.execution_timeout, b.version, b.run_attempt,
    r.concurrency_key, r.concurrency_limit
  from back b join engine.run r using (run_id)
  returning queue
)
select count(*) from (select pg_notify('engine', 'queue ' || queue) from live) told

-- name: ReadLog
-- Index: log_line_run.
select log_id, at, level, step, message from engine.log_line where run_id = $1 and log_id > $2 order by log_id limit $3


-- name: StartRuns
-- Index: run_idempotency. Locks: the new rows, in the order of their keys, waiting for other starts with the same ones.
with new_run as (
  insert into engine.run (run_id, workflow, queue, priority, idempotency_key, input, tags, start_at,
    concurrency_key, concurrency_limit, execution_timeout, retry)
  select n.run_id, $1, n.queue, n.priority, n.idempotency_key, n.input, n.tags::jsonb, n.start_at,
    n.concurrency_key, n.concurrency_limit, n.execution_timeout, n.retry::jsonb
  from unnest($2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::bytea[], $7::text[], $8::timestamptz[], $9::text[], $10::int[],
    $11::interval[], $12::text[])
    with ordinality n(run_id, queue, priority, idempotency_key, input, tags, start_at, concurrency_key, concurrency_limit,
      execution_timeout, retry, place)
  order by n.idempotency_key, n.place
  on conflict (workflow, idempotency_key) where idempotency_key is not null do nothing
  returning run_id, workflow, queue, priority, start_at, concurrency_key, concurrency_limit, execution_timeout
)
insert into engine.live_run (run_id, workflow, queue, priority, state, due_at, concurrency_key, concurrency_limit, deadline_at, version)
select s.run_id, workflow, queue, priority,
  case when start_at > engine.clock() then 'waiting' else 'queued' end::engine.run_state,
  coalesce(start_at, engine.clock()), concurrency_key, concurrency_limit,
  coalesce(start_at, engine.clock()) + execution_timeout, v.version
from new_run s join unnest($2::uuid[], $13::int[]) v(run_id, version) using (run_id)
returning run_id

-- name: FindByKeys
-- Index: run_idempotency.
select idempotency_key, run_id from engine.run where workflow = $1 and idempotency_key = any($2)

-- name: Clock
select engine.clock()

-- name: TellQueues
select pg_notify('engine', 'queue ' || queue) from unnest($1::text[]) q(queue)
