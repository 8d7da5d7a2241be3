-- Statements about batch exports.

-- name: ShareDestination
-- Index: destination_name. Locks: the row against its deletion.
select destination_id from exports.destination where project = @Project and name = @Name and deleted_at is null for key share

-- name: InsertBatchExport
-- Index: batch_export_name, which refuses a name that is taken.
insert into exports.batch_export (batch_export_id, project, name, destination_id, model, format, schedule, settings, paused, note)
values (@Id, @Project, @Name, @DestinationId, @Model::jsonb, @Format::jsonb, @Schedule::jsonb, @Settings::jsonb, @Paused, @Note)

-- name: ListBatchExports
-- Index: batch_export_name.
select to_json(e)::text from exports.batch_exports e
where project = @Project and deleted_at is null and (@After::text is null or name > @After) order by name limit @Limit::integer

-- name: FindBatchExport
-- Index: batch_export_name.
select to_json(e)::text from exports.batch_exports e where project = @Project and name = @Name and deleted_at is null

-- name: LoadBatchExport
-- Index: batch_export_pkey.
select to_json(e)::text from exports.batch_exports e where batch_export_id = @Id

-- name: LockBatchExport
-- Index: batch_export_pkey. Locks: the row, so that runs, coverage and changes of one export come one after another.
select deleted_at is null from exports.batch_export where batch_export_id = @Id for no key update

-- name: PauseBatchExport
-- Index: batch_export_pkey.
update exports.batch_export set paused = @Paused, note = @Note, updated_at = engine.clock()
where batch_export_id = @Id and deleted_at is null

-- name: Undecided
-- Index: schedule_pkey, of the engine's schedule, which the caller has locked. The first occurrence that has no run.
select next_occurrence as Occurrence, engine.clock() as Now from engine.schedules where schedule_id = @ScheduleId

-- name: Occurred
-- Index: occurrence_pkey, schedule_pkey. What the schedule has started last and what it has skipped since.
with last as (
  select max(occurrence) as started from engine.occurrences
  where schedule_id = @ScheduleId and cause = 'schedule' and outcome = 'started')
select l.started as LastStarted,
  (select min(occurrence) from engine.occurrences
   where schedule_id = @ScheduleId and cause = 'schedule' and outcome = 'skipped' and (l.started is null or occurrence > l.started)) as FirstSkipped,
  s.next_occurrence as Next, s.next_at as NextAt, engine.clock() as Now
from last l left join engine.schedules s on s.schedule_id = @ScheduleId

-- name: HasRuns
-- Index: run_export.
select exists (select from exports.run where batch_export_id = @Id)

-- name: LiesByTable
-- Index: batch_export_pkey, destination_pkey. Whether the source's table is a part of where rows lie.
select exists (
  select from exports.batch_export e join exports.destination d using (destination_id), jsonb_each_text(d.settings) s
  where e.batch_export_id = @Id and s.value like '%{table}%')

-- name: UpdateBatchExport
-- Index: batch_export_pkey.
update exports.batch_export
set model = @Model::jsonb, format = @Format::jsonb, schedule = @Schedule::jsonb, settings = @Settings::jsonb, updated_at = engine.clock()
where batch_export_id = @Id and deleted_at is null

-- name: Uncover
-- Index: covered_interval_pkey. The export is locked.
delete from exports.covered_interval where batch_export_id = @Id and interval_start >= @From

-- name: DeleteBatchExport
-- Index: batch_export_pkey.
update exports.batch_export set deleted_at = engine.clock(), updated_at = engine.clock()
where batch_export_id = @Id and deleted_at is null

-- name: UnfinishedRuns
-- Index: run_unfinished, run_export, verification_run. The runs of backfills come after the backfills, which would start others.
select g.run_id from engine.runs g
join (
  select run_id, 1 as place from exports.backfill where batch_export_id = @Id
  union all
  select run_id, 2 from exports.run where batch_export_id = @Id and finished_at is null
  union all
  select v.verification_id, 3 from exports.verification v join exports.run r using (run_id)
  where r.batch_export_id = @Id and v.finished_at is null
) r using (run_id)
where g.state in ('queued', 'running', 'waiting', 'paused') order by r.place, g.run_id
