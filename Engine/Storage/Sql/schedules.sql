-- Statements about schedules. Whatever is decided is decided under the lock of the schedule's row.

-- name: Clock
select engine.clock()

-- name: PutSchedule
-- Index: schedule_pkey. Locks: the row. What has its outcome keeps it.
insert into engine.schedule
  (schedule_id, spec, workflow, queue, priority, input, tags, catch_up_window, settled_to, next_occurrence, next_at, overlap,
  concurrency_key, concurrency_limit)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (schedule_id) do update
set spec = excluded.spec, workflow = excluded.workflow, queue = excluded.queue, priority = excluded.priority,
  input = excluded.input, tags = excluded.tags, catch_up_window = excluded.catch_up_window,
  settled_to = excluded.settled_to, next_occurrence = excluded.next_occurrence, next_at = excluded.next_at,
  overlap = excluded.overlap, concurrency_key = excluded.concurrency_key, concurrency_limit = excluded.concurrency_limit,
  blocked = false, updated_at = engine.clock()

-- name: LockSchedules
-- Index: schedule_pkey. Locks: the rows, in the order of their ids; those that were taken are locked already.
select schedule_id, spec::text, workflow, queue, priority, input, tags::text, catch_up_window, overlap, paused, note,
  settled_to, next_occurrence, next_at, skip_until, buffered, blocked, created_at, updated_at, engine.clock(),
  concurrency_key, concurrency_limit
from engine.schedule where schedule_id = any($1) order by schedule_id for update

-- name: ListSchedules
-- Index: schedule_pkey. The schedule $1, or without it those after $2.
select schedule_id, spec::text, workflow, queue, priority, input, tags::text, catch_up_window, overlap, paused, note,
  settled_to, next_occurrence, next_at, skip_until, buffered, blocked, created_at, updated_at, engine.clock(),
  concurrency_key, concurrency_limit
from engine.schedule where schedule_id >= coalesce($1, $2) and ($1 is null or schedule_id = $1) and ($1 is not null or schedule_id > $2)
order by schedule_id limit $3

-- name: PauseSchedule
-- Index: schedule_pkey. Locks: the row.
update engine.schedule set paused = true, note = $2, blocked = blocked or $3, updated_at = engine.clock() where schedule_id = $1

-- name: UnpauseSchedule
-- Index: schedule_pkey. Locks: the row. What fell due until now and is not decided is skipped by who decides next.
update engine.schedule
set skip_until = case when paused then engine.clock() else skip_until end, paused = false, blocked = false, note = $2,
  updated_at = engine.clock()
where schedule_id = $1

-- name: DeleteSchedule
-- Index: schedule_pkey, occurrence_buffered. Locks: the row. Its runs and occurrences stay; what waited is skipped.
with gone as (
  delete from engine.schedule where schedule_id = $1 returning schedule_id
), skipped as (
  update engine.occurrence c set outcome = 'skipped', reason = 'The schedule was deleted.', decided_at = engine.clock()
  from gone g where c.schedule_id = g.schedule_id and c.outcome = 'buffered'
)
select count(*) from gone

-- name: TellFirers
select pg_notify('engine', 'schedules')

-- name: FindDue
-- Index: schedule_due, schedule_buffered. How long it is until the next one is due, null: there is none; and whether any keeps occurrences.
select (select min(next_at) from engine.schedule where not blocked) - engine.clock(),
  exists (select from engine.schedule where buffered > 0 and not blocked)

-- name: TakeDue
-- Index: schedule_due. Locks: so many rows, skipping those that others decide. Not $1: they have had their batch of this round. A
-- firer that is frozen with schedules in its hands loses its session, and with it the locks, after some seconds.
with due as materialized (
  select schedule_id from engine.schedule
  where not blocked and next_at <= engine.clock() and schedule_id <> all($1::text[])
  order by next_at
  limit $2
  for update skip locked
)
select schedule_id, set_config('idle_in_transaction_session_timeout', '5s', true) from due

-- name: TakeReady
-- Index: schedule_buffered, occurrence_buffered, occurrence_running. Locks: so many rows, skipping those that others decide.
-- Schedules whose buffer has one that may start: nothing of it is going, and it is not paused or somebody asked for that one.
with ready as materialized (
  select s.schedule_id from engine.schedule s
  where s.buffered > 0 and not s.blocked
    and (not s.paused or exists (
      select from engine.occurrence c
      where c.schedule_id = s.schedule_id and c.outcome = 'buffered' and c.cause <> 'schedule'))
    and not exists (
      select from engine.occurrence c join engine.live_run l using (run_id)
      where c.schedule_id = s.schedule_id and c.running)
  order by s.schedule_id
  limit $1
  for update of s skip locked
)
select schedule_id, set_config('idle_in_transaction_session_timeout', '5s', true) from ready

-- name: CloseEnded
-- Index: occurrence_running, live_run_pkey. The schedules' rows are locked. A query of its own for each run, never a join: what
-- else is live may be much.
update engine.occurrence c set running = false
where c.schedule_id = any($1) and c.running and (select l.run_id from engine.live_run l where l.run_id = c.run_id) is null

-- name: Going
-- Index: occurrence_running. The runs that may be going.
select schedule_id, run_id from engine.occurrence where schedule_id = any($1) and running order by run_id

-- name: Buffer
-- Index: occurrence_buffered.
select occurrence, cause, request_id, overlap, schedule_id from engine.occurrence
where schedule_id = any($1) and outcome = 'buffered' order by ordinal

-- name: RecordOutcomes
-- Index: occurrence_pkey. The schedules' rows are locked. Answers those whose outcome this is; others had theirs before.
insert into engine.occurrence as c (schedule_id, occurrence, cause, request_id, overlap, outcome, run_id, reason, running)
select w.schedule_id, w.occurrence, w.cause, w.request_id, w.overlap, w.outcome, w.run_id, w.reason, w.run_id is not null
from unnest($1::text[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::text[]) with ordinality
  w(schedule_id, occurrence, cause, request_id, overlap, outcome, run_id, reason, n)
order by w.n
on conflict (schedule_id, request_id, occurrence) do update
set outcome = excluded.outcome, run_id = excluded.run_id, reason = excluded.reason, running = excluded.running,
  decided_at = engine.clock()
where c.outcome = 'buffered' and excluded.outcome <> 'buffered'
returning c.occurrence, c.cause, c.request_id, c.outcome, c.run_id, c.reason, c.schedule_id

-- name: StartScheduled
-- Locks: the new rows. One notification a queue.
with given as materialized (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bytea[], $6::text[], $7::text[], $8::timestamptz[], $9::text[], $10::int[])
    g(run_id, workflow, queue, priority, input, tags, schedule_id, scheduled_for, concurrency_key, concurrency_limit)
), new_run as (
  insert into engine.run (run_id, workflow, queue, priority, input, tags, schedule_id, scheduled_for, concurrency_key, concurrency_limit)
  select run_id, workflow, queue, priority, input, tags::jsonb, schedule_id, scheduled_for, concurrency_key, concurrency_limit from given
), live as (
  insert into engine.live_run (run_id, workflow, queue, priority, state, due_at, concurrency_key, concurrency_limit)
  select run_id, workflow, queue, priority, 'queued', engine.clock(), concurrency_key, concurrency_limit from given
)
select pg_notify('engine', 'queue ' || queue) from (select distinct queue from given) told

-- name: AdvanceSchedules
-- Index: schedule_pkey, occurrence_buffered. The rows are locked.
update engine.schedule s
set settled_to = w.settled_to, next_occurrence = w.next_occurrence, next_at = w.next_at,
  buffered = (select count(*) from engine.occurrence c where c.schedule_id = s.schedule_id and c.outcome = 'buffered')
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) w(schedule_id, settled_to, next_occurrence, next_at)
where s.schedule_id = w.schedule_id and s.schedule_id = any($1)

-- name: FindRequest
-- Index: occurrence_pkey.
select occurrence, cause, request_id, outcome, run_id, reason from engine.occurrence
where schedule_id = $1 and request_id = $2 order by ordinal

-- name: Recent
-- Index: occurrence_order. The newest first.
select occurrence, cause, request_id, outcome, run_id, reason from engine.occurrence
where schedule_id = $1 order by ordinal desc limit $2

-- name: Running
-- Index: occurrence_running, live_run_pkey.
select c.run_id from engine.occurrence c join engine.live_run l using (run_id) where c.schedule_id = $1 and c.running order by c.run_id
