-- Progress where one looks first: what a run is doing, how fast and for how long still, in exports.runs; what planning has read,
-- while it reads; and all that was read and sent, with the attempts that failed.

create table exports.planning (
  run_id uuid primary key references exports.run,
  epoch bigint not null check (epoch >= 0),
  attempt integer not null check (attempt >= 1),
  began_at timestamptz not null default engine.clock(),
  seen_at timestamptz not null default engine.clock(),
  queries integer not null default 0 check (queries >= 0),
  read_rows bigint not null default 0 check (read_rows >= 0),
  read_bytes bigint not null default 0 check (read_bytes >= 0)
) with (fillfactor = 70);

drop view exports.runs, exports.slices;

create view exports.runs as
select r.run_id, e.name as batch_export, r.batch_export_id, d.name as destination, r.interval_start, r.interval_end,
  r.trigger, r.backfill_id,
  coalesce(g.state, case when r.finished_at is not null then 'completed' end) as state,
  case when g.state is distinct from 'running' or r.finished_at is not null then null
    when r.planned_at is null then 'planning'
    when s.committed < r.planned_slices + s.splits then 'exporting'
    else 'finishing' end as phase,
  g.epoch, (r.planned_slices + coalesce(s.splits, 0))::integer as slices, coalesce(s.committed, 0)::integer as slices_committed,
  coalesce(p.slices_running, 0) as slices_running,
  coalesce(s.splits, 0)::integer as slices_split, coalesce(s.exported_again, 0)::integer as slices_exported_again, r.expected_rows,
  coalesce(r.exported_rows, s.rows, 0)::bigint as exported_rows, coalesce(p.rows, r.exported_rows, s.rows, 0)::bigint as moved_rows,
  p.rows_per_second, p.time_left,
  coalesce(s.quarantined_rows, 0)::bigint as quarantined_rows,
  coalesce(s.nulled_values, 0)::bigint as nulled_values, coalesce(r.bytes_written, s.bytes, 0)::bigint as bytes_written,
  coalesce(r.source_bytes, s.source_bytes, 0)::bigint as source_bytes,
  coalesce(r.resent_bytes, s.resent_bytes, 0)::bigint as resent_bytes,
  a.read_bytes, a.sent_bytes, l.read_rows as planning_read_rows,
  l.read_bytes as planning_read_bytes, coalesce(r.planned_at, l.seen_at) - l.began_at as planning_time, r.late_rows,
  r.created_at, g.started_at, r.planned_at, coalesce(g.finished_at, r.finished_at) as finished_at, v.verified_at,
  g.error, g.worker_id, g.cancel_requested_at
from exports.run r
join exports.batch_export e using (batch_export_id)
join exports.destination d using (destination_id)
left join engine.runs g using (run_id)
left join exports.planning l using (run_id)
left join lateral (
  select count(*) filter (where state = 'committed') as committed, count(*) filter (where state = 'split') as splits,
    sum(exported_again) as exported_again, sum(rows) as rows, sum(quarantined_rows) as quarantined_rows,
    sum(nulled_values) as nulled_values, sum(bytes) as bytes, sum(source_bytes) as source_bytes, sum(resent_bytes) as resent_bytes
  from exports.slice where run_id = r.run_id) s on true
left join lateral (
  select sum(source_bytes)::bigint as read_bytes, sum(sent_bytes)::bigint as sent_bytes
  from exports.slice_attempt where run_id = r.run_id) a on true
left join lateral (
  select slices_running, rows, rows_per_second, time_left
  from exports.progress where run_id = r.run_id and r.finished_at is null) p on true
left join lateral (
  select max(finished_at) as verified_at from exports.verification
  where run_id = r.run_id and outcome in ('unchanged', 'exported_again') and kind in ('verify', 'compare')) v on true;
comment on view exports.runs is 'One row a batch export run: one data interval of one export, with the state of the engine''s run of the same id.';
comment on column exports.runs.interval_start is 'The first instant of the cursor column that belongs to the run.';
comment on column exports.runs.interval_end is 'The first instant after it: intervals are half-open.';
comment on column exports.runs.trigger is 'schedule, manual or backfill.';
comment on column exports.runs.state is
  'queued, running, waiting, paused, completed, failed, cancelled, terminated, timed_out; null when it was not completed and the engine has forgotten it.';
comment on column exports.runs.phase is
  'What it does while its state is running: planning, exporting, or finishing (comparing with the source, manifest or merge); else null.';
comment on column exports.runs.epoch is 'How often a worker took the run: more than 1 after a takeover or a wait.';
comment on column exports.runs.slices is 'Into how many slices the interval was cut, with those that were split later; null until it is planned.';
comment on column exports.runs.slices_committed is 'How many of them are in the destination: how far the run is.';
comment on column exports.runs.slices_running is 'How many are being moved now.';
comment on column exports.runs.slices_split is 'How many slices were too much for the source, or too large for a file, and were split in two.';
comment on column exports.runs.slices_exported_again is 'How often a committed slice was exported again, because its rows had changed or on request.';
comment on column exports.runs.expected_rows is 'Rows counted at the source when the run was planned, after dedup.';
comment on column exports.runs.exported_rows is 'Rows of the committed slices.';
comment on column exports.runs.moved_rows is 'These, and what slices in progress have moved so far: a few seconds old.';
comment on column exports.runs.rows_per_second is 'Since a worker took the run last; null when it has ended, or there is nothing to go by.';
comment on column exports.runs.time_left is 'For what is left of the expected rows, at that pace; null when the run does not execute.';
comment on column exports.runs.quarantined_rows is 'Rows that the destination cannot hold and that were put aside: see exports.bad_rows.';
comment on column exports.runs.nulled_values is 'Values that the destination cannot hold and that were exported as null.';
comment on column exports.runs.bytes_written is 'Bytes of the committed slices, as they lie in the destination.';
comment on column exports.runs.source_bytes is 'Bytes that came over the wire from the source for the committed slices.';
comment on column exports.runs.resent_bytes is 'Bytes that were sent to the destination again, because an attempt failed.';
comment on column exports.runs.read_bytes is 'Bytes that came over the wire from the source in all attempts, with those that failed, and in later looks; null when there was none.';
comment on column exports.runs.sent_bytes is 'Likewise, bytes that were sent to the destination.';
comment on column exports.runs.planning_read_rows is 'Rows that ClickHouse has read to plan the run, while it plans and after; null before.';
comment on column exports.runs.planning_read_bytes is 'Bytes of them, uncompressed.';
comment on column exports.runs.late_rows is 'Rows that were not there when the run was planned, with those that a later look found; null until it is finished.';
comment on column exports.runs.planning_time is 'For how long it has planned, or did: since the latest attempt to began.';
comment on column exports.runs.verified_at is 'When the source was last found to have the rows that were exported, or was made to agree; null when nobody looked after the run.';
comment on column exports.runs.error is 'The latest error, in one line.';

create view exports.slices as
select s.run_id, e.name as batch_export, s.number as slice, s.split_from, s.range_start, s.range_end, s.hash_bucket, s.hash_buckets,
  s.expected_rows, s.state, s.rows, s.quarantined_rows, s.nulled_values, s.source_rows, s.source_key_hash::text as source_key_hash,
  s.written_key_hash::text as written_key_hash, s.quarantined_key_hash::text as quarantined_key_hash,
  case when s.state = 'committed' then
    s.source_rows = s.rows + s.quarantined_rows
    and s.source_key_hash = mod(s.written_key_hash + coalesce(s.quarantined_key_hash, 0), 18446744073709551616) end as agrees,
  s.bytes, s.file, s.sha256, s.source_bytes, s.resent_bytes, a.read_bytes, a.sent_bytes, s.exported_again, s.attempt, s.epoch, s.committed_at
from exports.slice s
join exports.run r using (run_id)
join exports.batch_export e using (batch_export_id)
left join lateral (
  select sum(source_bytes)::bigint as read_bytes, sum(sent_bytes)::bigint as sent_bytes
  from exports.slice_attempt where run_id = s.run_id and slice = s.number) a on true;
comment on view exports.slices is 'One row a slice: the part of a run that is committed, tried again and resumed as one.';
comment on column exports.slices.slice is 'Its number, from 0 for those of the plan; part of the file''s name.';
comment on column exports.slices.split_from is 'The slice that this is a half of; null for those of the plan.';
comment on column exports.slices.range_start is 'The first instant of the cursor column in the slice.';
comment on column exports.slices.range_end is 'The first instant after it.';
comment on column exports.slices.hash_bucket is 'Only rows whose key hashes to this one of hash_buckets; looked at when hash_buckets is more than 1.';
comment on column exports.slices.expected_rows is 'Rows counted at the source when it was planned or split.';
comment on column exports.slices.state is 'pending, committed, or split: then its halves take its place.';
comment on column exports.slices.rows is 'Rows written; null until it is committed.';
comment on column exports.slices.quarantined_rows is 'Rows that were put aside: see exports.bad_rows.';
comment on column exports.slices.nulled_values is 'Values that were exported as null, since the destination cannot hold them.';
comment on column exports.slices.source_rows is 'Rows that the source had when it was counted last.';
comment on column exports.slices.source_key_hash is
  'Of these: the sum modulo 2^64 of cityHash64(tuple(key columns..., version column)), as ClickHouse answers it; without a key, of the cursor column.';
comment on column exports.slices.written_key_hash is 'The same sum over the rows that were written, taken as they passed.';
comment on column exports.slices.quarantined_key_hash is 'The same sum over the rows that were put aside; null when there are none.';
comment on column exports.slices.agrees is 'Whether rows and keys written and put aside are those of the source; null when it is not committed or has no hash.';
comment on column exports.slices.file is 'The object''s key or the file''s path below the destination''s root; null when there were no rows.';
comment on column exports.slices.source_bytes is 'Bytes that came over the wire from the source, in the attempt that committed it.';
comment on column exports.slices.resent_bytes is 'Bytes that attempts which failed had sent.';
comment on column exports.slices.read_bytes is 'Bytes that came over the wire from the source in all attempts, with those that failed; null when there was none.';
comment on column exports.slices.sent_bytes is 'Likewise, bytes that were sent to the destination.';
comment on column exports.slices.exported_again is 'How often it was exported again after it was committed.';
comment on column exports.slices.attempt is 'The attempt that committed it, from 1: more than 1 means it was done again.';
comment on column exports.slices.epoch is 'The epoch that committed it.';

do $$
begin
  grant select on exports.runs, exports.slices to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
