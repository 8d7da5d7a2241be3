-- Statements about later looks at finished runs.

-- name: InsertVerification
-- Index: verification_pkey.
insert into exports.verification (verification_id, run_id, kind, created_by) values (@VerificationId, @RunId, @Kind, @CreatedBy)

-- name: FindVerification
-- Index: verification_pkey.
select to_json(v)::text from exports.verifications v where verification_id = @VerificationId

-- name: BeginVerification
-- Index: verification_pkey. The export is locked.
update exports.verification set begun_at = engine.clock() where verification_id = @VerificationId and begun_at is null

-- name: IsLatest
-- Index: covered_interval_pkey. The export is locked. Whether the interval at the destination is the one that this run brought.
select exists (
  select from exports.run r
  join exports.covered_interval c on c.batch_export_id = r.batch_export_id and c.interval_start = r.interval_start and c.run_id = r.run_id
  where r.run_id = @RunId)

-- name: CoveredRuns
-- Index: covered_interval_pkey. Those of intervals inside the range, which may be open at both ends.
select run_id from exports.covered_interval
where batch_export_id = @BatchExportId and (@Start::timestamptz is null or interval_start >= @Start)
  and (@End::timestamptz is null or interval_end <= @End)
order by interval_start

-- name: Leaves
-- Index: slice_pkey. Slices with what they left in the destination.
select json_build_object(
  'slice', json_build_object('number', number, 'range', json_build_object('start', range_start, 'end', range_end), 'hash_bucket', hash_bucket,
    'hash_buckets', hash_buckets, 'expected_rows', coalesce(source_rows, expected_rows), 'expected_key_hash', source_key_hash, 'split_from', split_from),
  'receipt', json_build_object('slice', number, 'rows', rows, 'bytes', bytes, 'file', file, 'sha256', sha256, 'key_hash', written_key_hash,
    'quarantined_rows', quarantined_rows, 'quarantined_key_hash', quarantined_key_hash, 'nulled_values', nulled_values))::text
from exports.slice where run_id = @RunId and state = 'committed' order by number

-- name: UpdateTotals
-- Index: run_pkey, slice_pkey. Only when every slice is committed, or split and its halves are.
update exports.run r
set exported_rows = s.rows, bytes_written = s.bytes, source_bytes = s.source_bytes, resent_bytes = s.resent_bytes,
  late_rows = r.late_rows + @LateRows
from (
  select count(*) filter (where state = 'committed') as committed, count(*) filter (where state = 'split') as splits,
    coalesce(sum(rows), 0) as rows, coalesce(sum(bytes), 0) as bytes, coalesce(sum(source_bytes), 0) as source_bytes,
    coalesce(sum(resent_bytes), 0) as resent_bytes
  from exports.slice where run_id = @RunId) s
where r.run_id = @RunId and r.finished_at is not null and s.committed = r.planned_slices + s.splits

-- name: UpdateCoverage
-- Index: covered_interval_pkey.
update exports.covered_interval c
set rows = r.exported_rows, quarantined_rows = (select coalesce(sum(quarantined_rows), 0) from exports.slice where run_id = r.run_id),
  committed_at = case when @Exported then engine.clock() else c.committed_at end,
  verified_at = case when @Verified then engine.clock() else c.verified_at end
from exports.run r
where r.run_id = @RunId and c.batch_export_id = r.batch_export_id and c.interval_start = r.interval_start and c.run_id = r.run_id

-- name: FinishVerification
-- Index: verification_pkey.
update exports.verification
set finished_at = engine.clock(), begun_at = coalesce(begun_at, engine.clock()), outcome = @Outcome, slices_compared = @Compared,
  slices_changed = @Changed, late_rows = @LateRows, gone_rows = @GoneRows
where verification_id = @VerificationId and finished_at is null
