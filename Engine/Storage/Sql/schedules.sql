-- Statements about schedules.

-- name: Clock
select engine.clock()

-- name: PutSchedule
-- Index: schedule_pkey. Locks: the row. What has its outcome keeps it.
insert into engine.schedule
  (schedule_id, spec, workflow, queue, priority, input, tags, catch_up_window, settled_to, next_occurrence, next_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (schedule_id) do update
set spec = excluded.spec, workflow = excluded.workflow, queue = excluded.queue, priority = excluded.priority,
  input = excluded.input, tags = excluded.tags, catch_up_window = excluded.catch_up_window,
  settled_to = excluded.settled_to, next_occurrence = excluded.next_occurrence, next_at = excluded.next_at,
  updated_at = engine.clock()

-- name: LockSchedule
-- Index: schedule_pkey. Locks: the row.
select spec::text, settled_to, paused from engine.schedule where schedule_id = $1 for update

-- name: PauseSchedule
-- Index: schedule_pkey.
update engine.schedule set paused = true, note = $2, updated_at = engine.clock() where schedule_id = $1

-- name: UnpauseSchedule
-- Index: schedule_pkey. Occurrences of the pause are left out, without an outcome each.
update engine.schedule
set paused = false, note = null, settled_to = $2, next_occurrence = $3, next_at = $4, updated_at = engine.clock()
where schedule_id = $1

-- name: DeleteSchedule
-- Index: schedule_pkey. Its runs and occurrences stay.
delete from engine.schedule where schedule_id = $1

-- name: TakeDue
-- Index: schedule_due. Locks: one row, skipping those that others fire.
select schedule_id, spec::text, workflow, queue, priority, input, tags::text, catch_up_window, next_occurrence, engine.clock()
from engine.schedule
where not paused and next_at <= engine.clock()
order by next_at
limit 1
for update skip locked

-- name: SettleOccurrence
-- Index: occurrence_pkey. No row: it had its outcome before.
insert into engine.occurrence (schedule_id, occurrence, outcome, run_id, reason) values ($1, $2, $3, $4, $5)
on conflict do nothing

-- name: AdvanceSchedule
-- Index: schedule_pkey. The row is locked by TakeDue.
update engine.schedule set settled_to = $2, next_occurrence = $3, next_at = $4 where schedule_id = $1
