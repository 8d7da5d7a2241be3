-- Statements about runs that failed for good.

-- name: RecordFailure
-- Index: run_pkey, run_failure_pkey. Locks: the row. A run whose first step failed has no row, and none is made here.
insert into exports.run_failure as f (run_id, batch_export_id, setting, error)
select run_id, batch_export_id, @Setting, @Error from exports.run where run_id = @RunId and finished_at is null
on conflict (run_id) do update
set failed_at = engine.clock(), setting = excluded.setting, error = excluded.error, mended_at = null

-- name: MendFailure
-- Index: run_failure_pkey. Locks: the row.
update exports.run_failure set mended_at = engine.clock() where run_id = @RunId and mended_at is null

-- name: FailsInARow
-- Index: run_export, run_failure_pkey. Whether the latest intervals that have ended, so many of them, have all failed since somebody changed the
-- export. A day's budget that is used up is nothing that pausing would mend.
select count(*) = @Limit and bool_and(failed)
from (
  select f.run_id is not null and f.mended_at is null and f.failed_at > e.updated_at as failed
  from exports.run r
  join exports.batch_export e using (batch_export_id)
  left join exports.run_failure f using (run_id)
  where r.batch_export_id = @BatchExportId and r.trigger <> 'backfill' and (r.finished_at is not null or f.run_id is not null)
    and coalesce(f.setting, '') not in ('max_rows_per_day', 'max_bytes_per_day')
  order by r.interval_start desc limit @Limit
) latest
