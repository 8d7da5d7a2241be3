-- The writes of runs that a worker holds. They travel together, for many runs, in one transaction. Those that leave the run's
-- own row alone (records, attempts, open steps, statuses) need it locked first, by RecordHeld or LockHeld, and join it again
-- where the lock keeps what was found; those that end or leave a run change its row, and so hold it by themselves. Each
-- statement answers the runs, with their epochs, that it has written for, unless it says otherwise. They take rows in no order of the two kinds together,
-- and need none: no other worker writes for these runs, and whoever else takes several runs skips those that are locked.
--
-- What a planner knows of a table that fills and empties every second is wrong most of the time, and a join of a thousand rows
-- with a thousand in nested loops takes a fifth of a second. So PlanForMany leaves it no choice: rows are found by their key
-- (= any), and joined by hash; what is compared by "is not distinct from" is found by no other index.

-- name: PlanForMany
-- Until the end of the transaction.
select set_config('enable_nestloop', 'off', true), set_config('enable_seqscan', 'off', true),
  set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true)

-- name: LockHeld
-- Index: live_run_pkey. Locks: live_run rows FOR KEY SHARE in the order of run_id. Answers the runs that are still held.
select l.run_id, l.epoch
from engine.live_run l
join unnest($1::uuid[], $2::bigint[]) w(run_id, epoch) on l.run_id = w.run_id and l.epoch = w.epoch
where l.run_id = any($1) and l.worker_id is not distinct from $3
order by l.run_id
for key share of l

-- name: RecordHeld
-- Index: live_run_pkey, step_record_pkey. LockHeld and RecordSteps in one, for what has not been sent before: a place that is
-- recorded already is an error. Answers nothing but how many it has recorded: when that is all, all of their runs are held; the
-- row of a run that it holds under another epoch is locked in vain.
with held as materialized (
  select l.run_id, l.epoch from engine.live_run l
  where l.run_id = any($1) and l.worker_id is not distinct from $3
  order by l.run_id
  for key share
)
insert into engine.step_record (run_id, place, name, epoch, worker_id, attempts, output, error, wake_at, started_at)
select w.run_id, w.place, w.name, w.epoch, $3, w.attempts, w.output, w.error, engine.clock() + w.wake_after,
  engine.clock() - w.took
from unnest($1::uuid[], $2::bigint[], $4::int[], $5::text[], $6::int[], $7::bytea[], $8::text[], $9::interval[], $10::interval[])
  w(run_id, epoch, place, name, attempts, output, error, wake_after, took)
join held using (run_id, epoch)

-- name: RecordSteps
-- Index: step_record_pkey. A repeat after a lost answer changes nothing.
insert into engine.step_record (run_id, place, name, epoch, worker_id, attempts, output, error, wake_at, started_at)
select w.run_id, w.place, w.name, w.epoch, $3, w.attempts, w.output, w.error, engine.clock() + w.wake_after,
  engine.clock() - w.took
from unnest($1::uuid[], $2::bigint[], $4::int[], $5::text[], $6::int[], $7::bytea[], $8::text[], $9::interval[], $10::interval[])
  w(run_id, epoch, place, name, attempts, output, error, wake_after, took)
join engine.live_run l on l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
on conflict (run_id, place) do nothing
returning run_id, epoch

-- name: CloseSteps
-- Index: open_step_pkey. Of steps that are recorded now.
delete from engine.open_step p
using unnest($1::uuid[], $2::bigint[], $4::int[]) w(run_id, epoch, place)
join engine.live_run l on l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
where p.run_id = w.run_id and p.place = w.place and p.run_id = any($1)

-- name: FailAttempts
-- Index: attempt_record_pkey.
insert into engine.attempt_record (run_id, place, attempt, name, epoch, worker_id, error, retry_at, started_at)
select w.run_id, w.place, w.attempt, w.name, w.epoch, $3, w.error, engine.clock() + w.retry_after, engine.clock() - w.took
from unnest($1::uuid[], $2::bigint[], $4::int[], $5::int[], $6::text[], $7::text[], $8::interval[], $9::interval[])
  w(run_id, epoch, place, attempt, name, error, retry_after, took)
join engine.live_run l on l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
on conflict (run_id, place, attempt) do nothing
returning run_id, epoch

-- name: OpenSteps
-- Index: open_step_pkey. Signs of life and checkpoints of steps in progress.
insert into engine.open_step (run_id, place, name, epoch, worker_id, attempt, checkpoint, checkpoint_at, started_at, alive_at)
select w.run_id, w.place, w.name, w.epoch, $3, w.attempt, w.checkpoint,
  case when w.checkpoint is not null then engine.clock() end, engine.clock() - w.took, engine.clock() - w.quiet
from unnest($1::uuid[], $2::bigint[], $4::int[], $5::text[], $6::int[], $7::bytea[], $8::interval[], $9::interval[])
  w(run_id, epoch, place, name, attempt, checkpoint, took, quiet)
join engine.live_run l on l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
on conflict (run_id, place) do update
set epoch = excluded.epoch, worker_id = excluded.worker_id, attempt = excluded.attempt, started_at = excluded.started_at,
  alive_at = excluded.alive_at, checkpoint = coalesce(excluded.checkpoint, engine.open_step.checkpoint),
  checkpoint_at = coalesce(excluded.checkpoint_at, engine.open_step.checkpoint_at)
returning run_id, epoch

-- name: FinishRuns
-- Index: live_run_pkey. The run leaves the hot table and enters history in one statement. When all have, it says so by a single
-- row of nulls, since a thousand rows cost more to be sent and read than to be written.
with done as (
  delete from engine.live_run l
  using unnest($1::uuid[], $2::bigint[], $4::text[], $5::bytea[], $6::text[]) w(run_id, epoch, state, output, error)
  where l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
  returning l.run_id, l.epoch, w.state, w.output, w.error, l.started_at, l.cancel_requested_at, l.parent_run_id, l.has_children,
    l.version, l.run_attempt
), relayed as (
  insert into engine.relay (kind, run_id)
  select 'child_ended', parent_run_id from done where parent_run_id is not null
  union all select 'parent_ended', run_id from done where has_children
), ended as (
  insert into engine.outcome (run_id, epoch, worker_id, state, output, error, started_at, cancel_requested_at, version, run_attempt)
  select run_id, epoch, $3, state::engine.run_state, output, error, started_at, cancel_requested_at, version, run_attempt from done
)
select run_id, epoch from done where (select count(*) from done) <> cardinality($1)
union all
select null, null where (select count(*) from done) = cardinality($1)

-- name: DropOpenSteps
-- Index: outcome_pkey, open_step_pkey. What a run left open that is final by the write just before; when that was refused, what
-- is open is another holder's.
delete from engine.open_step p
using unnest($1::uuid[], $2::bigint[]) w(run_id, epoch)
join engine.outcome o on o.run_id = w.run_id and o.epoch = w.epoch and o.run_id = any($1) and o.worker_id = $3
where p.run_id = w.run_id and p.run_id = any($1)

-- name: LeaveRuns
-- Index: live_run_pkey. Gives runs back: at once (wait_for is null), until a time, or until an event that this worker has not
-- seen (seen_events is not null). A run that is to be cancelled does not wait; one that is to be paused does nothing else.
update engine.live_run l
set worker_id = null,
  state = case when l.pause_requested_at is not null then 'paused'
    when w.wait_for is null or l.cancel_requested_at is not null or l.events > w.seen_events then 'queued'
    else 'waiting' end::engine.run_state,
  wakes_on_event = w.seen_events is not null,
  due_at = engine.clock() + case when l.cancel_requested_at is not null or l.events > w.seen_events then interval '0'
    else coalesce(w.wait_for, interval '0') end
from unnest($1::uuid[], $2::bigint[], $4::interval[], $5::bigint[]) w(run_id, epoch, wait_for, seen_events)
where l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
returning l.run_id, w.epoch

-- name: RetryRuns
-- Index: live_run_pkey, step_record_pkey. The run as a whole is tried again after a wait, from the step that failed. One that is
-- to be cancelled does not wait.
with again as (
  update engine.live_run l
  set worker_id = null,
    state = case when l.pause_requested_at is not null then 'paused' when l.cancel_requested_at is not null then 'queued'
      else 'waiting' end::engine.run_state,
    base_epoch = l.epoch, run_attempt = l.run_attempt + 1, wakes_on_event = false,
    due_at = engine.clock() + case when l.cancel_requested_at is not null then interval '0' else w.wait_for end
  from unnest($1::uuid[], $2::bigint[], $4::interval[]) w(run_id, epoch, wait_for)
  where l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
  returning l.run_id, l.epoch
), forgotten as (
  delete from engine.step_record s using again a where s.run_id = a.run_id and s.error is not null
)
select run_id, epoch from again

-- name: ContinueRuns
-- Index: live_run_pkey, run_pkey, step_record_pkey. The run begins anew, with a new input and an empty record.
with again as (
  update engine.live_run l
  set worker_id = null, state = case when l.pause_requested_at is not null then 'paused' else 'queued' end::engine.run_state,
    base_epoch = l.epoch, run_attempt = 1, version = null, due_at = engine.clock(), wakes_on_event = false
  from unnest($1::uuid[], $2::bigint[]) w(run_id, epoch)
  where l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
  returning l.run_id, l.epoch, l.queue
), renewed as (
  update engine.run r set input = w.input, restarts = r.restarts + 1
  from again a join unnest($1::uuid[], $4::bytea[]) w(run_id, input) using (run_id) where r.run_id = a.run_id
), forgotten as (
  delete from engine.step_record s using again a where s.run_id = a.run_id
), closed as (
  delete from engine.open_step p using again a where p.run_id = a.run_id
), tried as (
  delete from engine.attempt_record t using again a where t.run_id = a.run_id
), taken as (
  delete from engine.signal g using again a where g.run_id = a.run_id and g.taken_place is not null
)
select run_id, epoch, (select count(*) from (select pg_notify('engine', 'queue ' || queue) from (select distinct queue from again) q) told)
from again

-- name: SetStatuses
-- Index: run_status_pkey.
with held as materialized (
  select w.run_id, w.epoch, w.status from unnest($1::uuid[], $2::bigint[], $4::text[]) w(run_id, epoch, status)
  join engine.live_run l on l.run_id = w.run_id and l.epoch = w.epoch and l.run_id = any($1) and l.worker_id is not distinct from $3
), written as (
  insert into engine.run_status (run_id, status) select run_id, status from held
  on conflict (run_id) do update set status = excluded.status, set_at = engine.clock()
)
select run_id, epoch from held

-- name: WriteLog
-- Not fenced: a line of a worker that lost its lease tells what happened.
insert into engine.log_line (run_id, level, step, message, at)
select w.run_id, w.level, w.step, w.message, engine.clock() - w.ago
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::interval[]) with ordinality
  w(run_id, level, step, message, ago, n)
order by w.n

-- name: FindRecord
-- Index: step_record_pkey. Whether a step whose commit was in doubt is recorded.
select output from engine.step_record where run_id = $1 and place = $2 and error is null
