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

-- name: OverlappingVerification
-- Index: verification_unfinished, run_export. The export is locked. One that only compares is in nobody's way.
select v.verification_id as RunId, r.interval_start as Start, r.interval_end as End
from exports.verification v join exports.run r on r.run_id = v.run_id join engine.runs g on g.run_id = v.verification_id
where r.batch_export_id = @BatchExportId and v.begun_at is not null and v.finished_at is null and v.kind <> 'compare'
  and v.verification_id <> @RunId and r.interval_start < @End and r.interval_end > @Start
  and g.state in ('queued', 'running', 'waiting', 'paused')
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

-- name: CoveredIntervals
-- Index: covered_interval_pkey. In order.
select run_id as RunId, interval_start as Start, interval_end as End from exports.covered_interval
where batch_export_id = @BatchExportId and interval_start < @End and interval_end > @Start order by interval_start

-- name: ListCoverage
-- Index: covered_interval_pkey, backwards.
select json_build_object('interval_start', interval_start, 'interval_end', interval_end, 'rows', rows, 'quarantined_rows', quarantined_rows, 'run_id', run_id,
  'committed_at', committed_at, 'verified_at', verified_at)::text
from exports.covered_interval
where batch_export_id = @BatchExportId and (@Before::timestamptz is null or interval_start < @Before)
order by interval_start desc limit @Limit

-- name: Pace
-- Index: run_export. Rows a second of the latest runs, from their start to their end.
select (sum(exported_rows) / nullif(sum(extract(epoch from finished_at - started_at)), 0))::double precision
from (
  select exported_rows, finished_at, started_at from exports.runs
  where batch_export_id = @BatchExportId and state = 'completed' and exported_rows > 0 order by created_at desc limit 20) r

-- name: InsertRun
-- Index: run_pkey.
insert into exports.run (run_id, batch_export_id, interval_start, interval_end, trigger, backfill_id)
values (@RunId, @BatchExportId, @Start, @End, @Trigger, @BackfillId)

-- name: SeePlanning
-- Index: planning_pkey. Locks: the row. Not in the step's transaction: fenced by the epoch that it carries.
insert into exports.planning as p (run_id, epoch, attempt, queries, read_rows, read_bytes)
values (@RunId, @Epoch, @Attempt, @Queries, @ReadRows, @ReadBytes)
on conflict (run_id) do update
set epoch = excluded.epoch, attempt = excluded.attempt, queries = excluded.queries, read_rows = excluded.read_rows,
  read_bytes = excluded.read_bytes, seen_at = engine.clock(),
  began_at = case when (p.epoch, p.attempt) = (excluded.epoch, excluded.attempt) then p.began_at else engine.clock() end
where (p.epoch, p.attempt) <= (excluded.epoch, excluded.attempt)

-- name: PlanRun
-- Index: run_pkey. Once: a plan never changes.
update exports.run
set planned_at = engine.clock(), planned_slices = @Slices, expected_rows = @ExpectedRows, expected_bytes = @ExpectedBytes
where run_id = @RunId and planned_at is null

-- name: PlannedToday
-- Index: run_planned. What the other runs of the export have planned since midnight by UTC; the export is locked.
select date_trunc('day', engine.clock(), 'UTC') as Date, coalesce(sum(expected_rows), 0)::bigint as Rows, coalesce(sum(expected_bytes), 0)::bigint as Bytes
from exports.run
where batch_export_id = @BatchExportId and planned_at >= date_trunc('day', engine.clock(), 'UTC') and run_id <> @RunId

-- name: RecordOrder
-- Index: run_pkey.
update exports.run set plan = @Plan::jsonb where run_id = @RunId

-- name: LoadOrder
-- Index: run_pkey.
select json_build_object('plan', plan, 'planned_slices', planned_slices, 'start', interval_start, 'end', interval_end)::text
from exports.run where run_id = @RunId and plan is not null and finished_at is not null

-- name: WrittenRatio
-- Index: run_export. What the latest runs that wrote the same columns in the same format made of a row.
select (sum(bytes) / nullif(sum(rows), 0))::double precision
from exports.slice s
join (
  select run_id from exports.run
  where batch_export_id = @BatchExportId and plan is not null and plan @> @Plan::jsonb
  order by created_at desc limit 10
) r using (run_id)
where s.state = 'committed' and s.rows > 0

-- name: InsertSlices
-- Index: slice_pkey.
insert into exports.slice (
  run_id, number, range_start, range_end, hash_bucket, hash_buckets, expected_rows, split_from, source_rows, source_key_hash)
select @RunId, n, s, e, b, c, x, f, x, h
from unnest(@Numbers::integer[], @Starts::timestamptz[], @Ends::timestamptz[], @Buckets::integer[], @BucketCounts::integer[],
  @ExpectedRows::bigint[], @SplitFrom::integer[], @KeyHashes::numeric[]) as u (n, s, e, b, c, x, f, h)

-- name: SplitSlice
-- Index: slice_pkey. Locks: the row. The engine's lock on the run keeps an old holder out.
update exports.slice
set state = 'split', rows = null, bytes = null, file = null, sha256 = null, source_bytes = null, attempt = null, epoch = null,
  committed_at = null, written_key_hash = null, quarantined_key_hash = null, quarantined_rows = 0, nulled_values = 0
where run_id = @RunId and number = @Slice and state <> 'split'

-- name: CountSlice
-- Index: slice_pkey. Locks: the rows, by one statement. What the source has now.
update exports.slice s set source_rows = u.rows, source_key_hash = u.hash
from unnest(@Numbers::integer[], @Rows::bigint[], @KeyHashes::numeric[]) as u (number, rows, hash)
where s.run_id = @RunId and s.number = u.number

-- name: CommitSlice
-- Index: slice_pkey. Locks: the row. The engine's lock on the run keeps an old holder out.
update exports.slice
set state = 'committed', rows = @Rows, bytes = @Bytes, file = @File, sha256 = @Sha256, source_bytes = @SourceBytes,
  attempt = @Attempt, epoch = @Epoch, committed_at = engine.clock(), written_key_hash = @KeyHash, quarantined_rows = @QuarantinedRows,
  quarantined_key_hash = @QuarantinedKeyHash, nulled_values = @NulledValues,
  exported_again = exported_again + case state when 'committed' then 1 else 0 end
where run_id = @RunId and number = @Slice and state <> 'split'

-- name: Receipts
-- Index: slice_pkey.
select json_build_object('slice', number, 'rows', rows, 'bytes', bytes, 'file', file, 'sha256', sha256, 'key_hash', written_key_hash,
  'quarantined_rows', quarantined_rows, 'quarantined_key_hash', quarantined_key_hash, 'nulled_values', nulled_values)::text
from exports.slice where run_id = @RunId and state = 'committed' order by number

-- name: FinishRun
-- Index: run_pkey, slice_pkey. Only when every slice is committed, or split and its halves are.
update exports.run r
set finished_at = engine.clock(), exported_rows = s.rows, bytes_written = s.bytes, source_bytes = s.source_bytes,
  resent_bytes = s.resent_bytes, late_rows = @LateRows
from (
  select count(*) filter (where state = 'committed') as committed, count(*) filter (where state = 'split') as splits, coalesce(sum(rows), 0) as rows,
    coalesce(sum(bytes), 0) as bytes, coalesce(sum(source_bytes), 0) as source_bytes, coalesce(sum(resent_bytes), 0) as resent_bytes
  from exports.slice where run_id = @RunId) s
where r.run_id = @RunId and s.committed = r.planned_slices + s.splits

-- name: Cover
-- Index: covered_interval_pkey. The export is locked and nothing else overlaps.
insert into exports.covered_interval as c (
  batch_export_id, destination_id, interval_start, interval_end, run_id, rows, quarantined_rows)
select r.batch_export_id, e.destination_id, r.interval_start, r.interval_end, r.run_id, r.exported_rows,
  (select coalesce(sum(quarantined_rows), 0) from exports.slice where run_id = r.run_id)
from exports.run r join exports.batch_export e using (batch_export_id) where r.run_id = @RunId
on conflict (batch_export_id, destination_id, interval_start) do update
set run_id = excluded.run_id, rows = excluded.rows, quarantined_rows = excluded.quarantined_rows, committed_at = engine.clock(),
  verified_at = null
where c.interval_end = excluded.interval_end

-- name: FindRun
-- Index: run_pkey.
select (to_jsonb(r) - 'time_left' - 'planning_time' || jsonb_build_object(
  'seconds_left', extract(epoch from time_left), 'planning_seconds', extract(epoch from planning_time)))::text
from exports.runs r where run_id = @RunId

-- name: ListRuns
-- Index: run_created, or run_backfill.
select (to_jsonb(r) - 'time_left' - 'planning_time' || jsonb_build_object(
  'seconds_left', extract(epoch from time_left), 'planning_seconds', extract(epoch from planning_time)))::text
from exports.runs r
where (@Project::text is null or project = @Project) and (@BatchExport::text is null or batch_export = @BatchExport)
  and (@State::text is null or state = @State) and (@BackfillId::uuid is null or backfill_id = @BackfillId)
  and (@AfterAt::timestamptz is null or (created_at, run_id) < (@AfterAt, @AfterId::uuid))
order by created_at desc, run_id desc limit @Limit

-- name: ListSlices
-- Index: slice_pkey.
select to_json(s)::text from exports.slices s where run_id = @RunId order by slice

-- name: ListVerifications
-- Index: verification_run.
select to_json(v)::text from exports.verifications v where run_id = @RunId order by created_at desc, verification_id desc

-- name: ListBadRows
-- Index: quarantined_row_pkey.
select to_json(b)::text from exports.bad_rows b where run_id = @RunId order by slice, number limit @Limit

-- name: LiveWorkers
select name from engine.workers where queue = @Queue and alive and state = 'active' order by name
