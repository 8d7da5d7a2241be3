-- Statements about backfills.

-- name: InsertBackfill
-- Index: backfill_pkey.
insert into exports.backfill (backfill_id, batch_export_id, start_at, end_at, intervals, parallel, replace, newest_first, run_id, created_by)
values (@Id, @BatchExportId, @Start, @End, @Intervals, @Parallel, @Replace, @NewestFirst, @RunId, @CreatedBy)

-- name: FindBackfill
-- Index: backfill_pkey.
select to_json(b)::text from exports.backfills b where backfill_id = @Id

-- name: ListBackfills
-- Index: backfill_export.
select to_json(b)::text from exports.backfills b
where (@Project::text is null or project = @Project) and (@BatchExport::text is null or batch_export = @BatchExport)
  and (@AfterAt::timestamptz is null or (created_at, backfill_id) < (@AfterAt, @AfterId::uuid))
order by created_at desc, backfill_id desc limit @Limit

-- name: BackfillProgress
-- Index: run_backfill, slice_pkey.
select coalesce(sum(slices), 0) as Slices, coalesce(sum(slices_committed), 0) as Committed,
  coalesce(sum(expected_rows), 0)::bigint as ExpectedRows, coalesce(sum(exported_rows), 0)::bigint as ExportedRows
from exports.runs where backfill_id = @Id

-- name: UnfinishedRunsOfBackfill
-- Index: run_backfill.
select g.run_id from engine.runs g join exports.run r using (run_id)
where r.backfill_id = @Id and r.finished_at is null and g.state in ('queued', 'running', 'waiting', 'paused')
order by g.run_id
