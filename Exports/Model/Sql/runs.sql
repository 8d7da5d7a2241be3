-- Statements about batch export runs and their slices.

-- name: Clock
select engine.clock()

-- name: FindInterval
-- Index: run_pkey.
select interval_start as Start, interval_end as End from exports.run where run_id = @RunId

-- name: OverlappingRun
-- Index: run_unfinished. The export is locked. Of runs that have ended only coverage counts.
select r.run_id as RunId, r.interval_start as Start, r.interval_end as End
from exports.run r join engine.runs g using (run_id)
where r.batch_export_id = @BatchExportId and r.finished_at is null and r.run_id <> @RunId
  and r.interval_start < @End and r.interval_end > @Start and g.state in ('queued', 'running', 'waiting', 'paused')
order by r.interval_start limit 1

-- name: OverlappingCoverage
-- Index: covered_interval_pkey. The export is locked. The same interval may be exported again, in place.
select run_id as RunId, interval_start as Start, interval_end as End from exports.covered_interval
where batch_export_id = @BatchExportId and interval_start < @End and interval_end > @Start
  and (interval_start, interval_end) <> (@Start, @End)
order by interval_start limit 1

-- name: IsCovered
-- Index: covered_interval_pkey.
select exists (
  select from exports.covered_interval
  where batch_export_id = @BatchExportId and interval_start = @Start and interval_end = @End)

-- name: InsertRun
-- Index: run_pkey.
insert into exports.run (run_id, batch_export_id, interval_start, interval_end, trigger, backfill_id)
values (@RunId, @BatchExportId, @Start, @End, @Trigger, @BackfillId)

-- name: PlanRun
-- Index: run_pkey. Once: a plan never changes.
update exports.run set planned_at = engine.clock(), planned_slices = @Slices, expected_rows = @ExpectedRows
where run_id = @RunId and planned_at is null

-- name: InsertSlices
-- Index: slice_pkey.
insert into exports.slice (run_id, number, range_start, range_end, hash_bucket, hash_buckets, expected_rows)
select @RunId, *
from unnest(@Numbers::integer[], @Starts::timestamptz[], @Ends::timestamptz[], @Buckets::integer[], @BucketCounts::integer[],
  @ExpectedRows::bigint[])

-- name: CommitSlice
-- Index: slice_pkey. Locks: the row. The engine's lock on the run keeps an old holder out.
update exports.slice
set state = 'committed', rows = @Rows, bytes = @Bytes, file = @File, sha256 = @Sha256, source_bytes = @SourceBytes,
  attempt = @Attempt, epoch = @Epoch, committed_at = engine.clock()
where run_id = @RunId and number = @Slice

-- name: Receipts
-- Index: slice_pkey.
select json_build_object('slice', number, 'rows', rows, 'bytes', bytes, 'file', file, 'sha256', sha256)::text
from exports.slice where run_id = @RunId and state = 'committed' order by number

-- name: FinishRun
-- Index: run_pkey, slice_pkey. Only when every slice is committed.
update exports.run r
set finished_at = engine.clock(), exported_rows = s.rows, bytes_written = s.bytes, source_bytes = s.source_bytes,
  resent_bytes = s.resent_bytes, late_rows = @LateRows
from (
  select count(*) filter (where state = 'committed') as committed, coalesce(sum(rows), 0) as rows,
    coalesce(sum(bytes), 0) as bytes, coalesce(sum(source_bytes), 0) as source_bytes, coalesce(sum(resent_bytes), 0) as resent_bytes
  from exports.slice where run_id = @RunId) s
where r.run_id = @RunId and s.committed = r.planned_slices

-- name: Cover
-- Index: covered_interval_pkey. The export is locked and nothing else overlaps.
insert into exports.covered_interval as c (batch_export_id, destination_id, interval_start, interval_end, run_id, rows)
select r.batch_export_id, e.destination_id, r.interval_start, r.interval_end, r.run_id, r.exported_rows
from exports.run r join exports.batch_export e using (batch_export_id) where r.run_id = @RunId
on conflict (batch_export_id, destination_id, interval_start) do update
set run_id = excluded.run_id, rows = excluded.rows, committed_at = engine.clock()
where c.interval_end = excluded.interval_end

-- name: FindRun
-- Index: run_pkey.
select to_json(r)::text from exports.runs r where run_id = @RunId

-- name: ListRuns
-- Index: run_created, or run_backfill.
select to_json(r)::text from exports.runs r
where (@BatchExport::text is null or batch_export = @BatchExport) and (@State::text is null or state = @State)
  and (@BackfillId::uuid is null or backfill_id = @BackfillId)
order by created_at desc, run_id desc limit @Limit

-- name: ListSlices
-- Index: slice_pkey.
select to_json(s)::text from exports.slices s where run_id = @RunId order by slice

-- name: LiveWorkers
select name from engine.workers where queue = @Queue and alive and state = 'active' order by name
