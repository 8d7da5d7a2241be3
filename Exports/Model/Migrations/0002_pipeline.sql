-- Slices that are split, hashes of keys, rows that came late, rows that a destination cannot hold.
--
-- A slice that the source cannot give in one go is split: its row stays, in state 'split', and two others take its place, in the
-- transaction that records the split. Their numbers follow from its number and the number of planned slices alone, so whoever
-- splits the same slice again means the same files.
--
-- A hash of keys is the sum modulo 2^64 of cityHash64(tuple(key columns..., version column)) over the rows: the same whatever
-- their order, and additive, so that it can be compared slice by slice and for all. source_* is what the source had when it was
-- counted last, written_* what went into the file, quarantined_* what the destination could not hold.
--
-- exports.verification is a later look at a finished run, by an engine's run of the same id: it counts again, and exports the
-- slices anew whose rows or keys are others now. While it does, no run may move the interval.

alter table exports.run
  -- The export and the columns as they were planned, so that a slice can be exported again in the same way.
  add column plan jsonb check (jsonb_typeof(plan) = 'object');

alter table exports.slice
  drop constraint slice_state_check,
  add constraint slice_state_check check (state in ('pending', 'committed', 'split')),
  add column split_from integer,
  add column source_rows bigint check (source_rows >= 0),
  add column source_key_hash numeric(20) check (source_key_hash between 0 and 18446744073709551615),
  add column written_key_hash numeric(20) check (written_key_hash between 0 and 18446744073709551615),
  add column quarantined_rows bigint not null default 0 check (quarantined_rows >= 0),
  add column quarantined_key_hash numeric(20) check (quarantined_key_hash between 0 and 18446744073709551615),
  add column nulled_values bigint not null default 0 check (nulled_values >= 0),
  add column exported_again integer not null default 0 check (exported_again >= 0),
  add foreign key (run_id, split_from) references exports.slice (run_id, number),
  add check (split_from < number),
  add check (state = 'committed' or (written_key_hash is null and quarantined_key_hash is null and quarantined_rows = 0 and nulled_values = 0));
create index slice_split_from on exports.slice (run_id, split_from) where split_from is not null;

alter table exports.covered_interval
  add column quarantined_rows bigint not null default 0 check (quarantined_rows >= 0),
  add column verified_at timestamptz;

create table exports.quarantined_row (
  run_id uuid not null,
  slice integer not null,
  number integer not null check (number >= 0),
  column_name text not null,
  reason text not null check (reason in (
    'zero_byte', 'invalid_text', 'too_long', 'out_of_range', 'not_finite', 'json_too_deep', 'json_zero_byte', 'json_unpaired_surrogate', 'json_invalid')),
  key_hash numeric(20) check (key_hash between 0 and 18446744073709551615),
  -- JSON through the payload codec, bound to the place of the row.
  row bytea not null,
  quarantined_at timestamptz not null default engine.clock(),
  primary key (run_id, slice, number),
  foreign key (run_id, slice) references exports.slice (run_id, number)
);

create table exports.verification (
  verification_id uuid primary key,
  run_id uuid not null references exports.run,
  kind text not null check (kind in ('verify', 'compare', 'resend')),
  created_by text not null,
  created_at timestamptz not null default engine.clock(),
  begun_at timestamptz,
  finished_at timestamptz,
  outcome text check (outcome in ('unchanged', 'changed', 'exported_again', 'superseded')),
  slices_compared integer check (slices_compared >= 0),
  slices_changed integer check (slices_changed >= 0),
  late_rows bigint check (late_rows >= 0),
  gone_rows bigint check (gone_rows >= 0),
  check (num_nonnulls(finished_at, outcome, slices_compared, slices_changed, late_rows, gone_rows) in (0, 6)),
  check (finished_at is null or begun_at is not null)
);
create index verification_run on exports.verification (run_id, created_at);
create index verification_unfinished on exports.verification (run_id) where begun_at is not null and finished_at is null;

alter table exports.audit_entry
  drop constraint audit_entry_action_check,
  add constraint audit_entry_action_check check (
    action in ('create', 'update', 'delete', 'pause', 'unpause', 'run', 'cancel', 'retry', 'verify', 'resend'));

drop view exports.runs, exports.slices, exports.coverage;

create view exports.runs as
select r.run_id, e.name as batch_export, r.batch_export_id, d.name as destination, r.interval_start, r.interval_end,
  r.trigger, r.backfill_id,
  coalesce(g.state, case when r.finished_at is not null then 'completed' end) as state,
  g.epoch, (r.planned_slices + coalesce(s.splits, 0))::integer as slices, coalesce(s.committed, 0)::integer as slices_committed,
  coalesce(s.splits, 0)::integer as slices_split, coalesce(s.exported_again, 0)::integer as slices_exported_again, r.expected_rows,
  coalesce(r.exported_rows, s.rows, 0)::bigint as exported_rows, coalesce(s.quarantined_rows, 0)::bigint as quarantined_rows,
  coalesce(s.nulled_values, 0)::bigint as nulled_values, coalesce(r.bytes_written, s.bytes, 0)::bigint as bytes_written,
  coalesce(r.source_bytes, s.source_bytes, 0)::bigint as source_bytes,
  coalesce(r.resent_bytes, s.resent_bytes, 0)::bigint as resent_bytes, r.late_rows,
  r.created_at, g.started_at, r.planned_at, coalesce(g.finished_at, r.finished_at) as finished_at, v.verified_at, g.error, g.worker_id,
  g.cancel_requested_at
from exports.run r
join exports.batch_export e using (batch_export_id)
join exports.destination d using (destination_id)
left join engine.runs g using (run_id)
left join lateral (
  select count(*) filter (where state = 'committed') as committed, count(*) filter (where state = 'split') as splits,
    sum(exported_again) as exported_again, sum(rows) as rows, sum(quarantined_rows) as quarantined_rows,
    sum(nulled_values) as nulled_values, sum(bytes) as bytes, sum(source_bytes) as source_bytes, sum(resent_bytes) as resent_bytes
  from exports.slice where run_id = r.run_id) s on true
left join lateral (
  select max(finished_at) as verified_at from exports.verification
  where run_id = r.run_id and outcome in ('unchanged', 'exported_again') and kind in ('verify', 'compare')) v on true;
comment on view exports.runs is 'One row a batch export run: one data interval of one export, with the state of the engine''s run of the same id.';
comment on column exports.runs.interval_start is 'The first instant of the cursor column that belongs to the run.';
comment on column exports.runs.interval_end is 'The first instant after it: intervals are half-open.';
comment on column exports.runs.trigger is 'schedule, manual or backfill.';
comment on column exports.runs.state is
  'queued, running, waiting, paused, completed, failed, cancelled, terminated, timed_out; null when it was not completed and the engine has forgotten it.';
comment on column exports.runs.epoch is 'How often a worker took the run: more than 1 after a takeover or a wait.';
comment on column exports.runs.slices is 'Into how many slices the interval was cut, with those that were split later; null until it is planned.';
comment on column exports.runs.slices_committed is 'How many of them are in the destination: how far the run is.';
comment on column exports.runs.slices_split is 'How many slices were too much for the source, or too large for a file, and were split in two.';
comment on column exports.runs.slices_exported_again is 'How often a committed slice was exported again, because its rows had changed or on request.';
comment on column exports.runs.expected_rows is 'Rows counted at the source when the run was planned, after dedup.';
comment on column exports.runs.exported_rows is 'Rows of the committed slices.';
comment on column exports.runs.quarantined_rows is 'Rows that the destination cannot hold and that were put aside: see exports.bad_rows.';
comment on column exports.runs.nulled_values is 'Values that the destination cannot hold and that were exported as null.';
comment on column exports.runs.bytes_written is 'Bytes of the committed slices, as they lie in the destination.';
comment on column exports.runs.source_bytes is 'Bytes that came over the wire from the source for the committed slices.';
comment on column exports.runs.resent_bytes is 'Bytes that were sent to the destination again, because an attempt failed.';
comment on column exports.runs.late_rows is 'Rows that were not there when the run was planned, with those that a later look found; null until it is finished.';
comment on column exports.runs.verified_at is 'When the source was last found to have the rows that were exported, or was made to agree; null when nobody looked after the run.';
comment on column exports.runs.error is 'The latest error, in one line.';

create view exports.slices as
select s.run_id, e.name as batch_export, s.number as slice, s.split_from, s.range_start, s.range_end, s.hash_bucket, s.hash_buckets,
  s.expected_rows, s.state, s.rows, s.quarantined_rows, s.nulled_values, s.source_rows, s.source_key_hash::text as source_key_hash,
  s.written_key_hash::text as written_key_hash, s.quarantined_key_hash::text as quarantined_key_hash,
  case when s.state = 'committed' then
    s.source_rows = s.rows + s.quarantined_rows
    and s.source_key_hash = mod(s.written_key_hash + coalesce(s.quarantined_key_hash, 0), 18446744073709551616) end as agrees,
  s.bytes, s.file, s.sha256, s.source_bytes, s.resent_bytes, s.exported_again, s.attempt, s.epoch, s.committed_at
from exports.slice s
join exports.run r using (run_id)
join exports.batch_export e using (batch_export_id);
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
comment on column exports.slices.exported_again is 'How often it was exported again after it was committed.';
comment on column exports.slices.attempt is 'The attempt that committed it, from 1: more than 1 means it was done again.';
comment on column exports.slices.epoch is 'The epoch that committed it.';

create view exports.bad_rows as
select q.run_id, e.name as batch_export, q.slice, q.number, q.column_name, q.reason, q.key_hash::text as key_hash, q.quarantined_at
from exports.quarantined_row q
join exports.run r using (run_id)
join exports.batch_export e using (batch_export_id);
comment on view exports.bad_rows is
  'One row for each row that a destination could not hold and that was put aside. The rows themselves are encrypted and in no view: `exporter run bad-rows`.';
comment on column exports.bad_rows.number is 'From 0, in its slice.';
comment on column exports.bad_rows.column_name is 'The first column with a value that the destination cannot hold.';
comment on column exports.bad_rows.reason is
  'zero_byte, invalid_text (no UTF-8), too_long, out_of_range, not_finite, json_too_deep, json_zero_byte, json_unpaired_surrogate or json_invalid.';
comment on column exports.bad_rows.key_hash is 'Finds the row at the source: where cityHash64(tuple(key columns..., version column)) is this.';

create view exports.coverage as
select e.name as batch_export, d.name as destination, c.interval_start, c.interval_end, c.rows, c.quarantined_rows, c.run_id, c.committed_at,
  c.verified_at
from exports.covered_interval c
join exports.batch_export e using (batch_export_id)
join exports.destination d on d.destination_id = c.destination_id;
comment on view exports.coverage is
  'One row an interval that is at the destination, whichever run brought it. Intervals of an export never overlap; what is missing between two rows is a gap.';
comment on column exports.coverage.rows is 'Rows at the destination for this interval.';
comment on column exports.coverage.quarantined_rows is 'Rows of the interval that are not at the destination, since it cannot hold them: see exports.bad_rows.';
comment on column exports.coverage.run_id is 'The run that brought it last.';
comment on column exports.coverage.verified_at is 'When the source was last found to have these rows, after the run; null when nobody looked.';

create view exports.verifications as
select v.verification_id, v.run_id, e.name as batch_export, r.interval_start, r.interval_end, v.kind,
  coalesce(g.state, case when v.finished_at is not null then 'completed' end) as state, v.outcome, v.slices_compared, v.slices_changed,
  v.late_rows, v.gone_rows, v.created_by, v.created_at, v.begun_at, v.finished_at, g.error
from exports.verification v
join exports.run r on r.run_id = v.run_id
join exports.batch_export e using (batch_export_id)
left join engine.runs g on g.run_id = v.verification_id;
comment on view exports.verifications is 'One row a later look at a finished run, by the engine''s run with the id verification_id.';
comment on column exports.verifications.kind is
  'verify: compare and export again what changed; compare: only compare; resend: export again the slices with rows that were put aside.';
comment on column exports.verifications.state is 'As in exports.runs; waiting until its time has come.';
comment on column exports.verifications.outcome is
  'unchanged; changed, and left so; exported_again; or superseded, when another run has exported or is exporting the interval.';
comment on column exports.verifications.slices_changed is 'Slices whose rows or keys at the source were not those that were exported.';
comment on column exports.verifications.late_rows is 'Rows more than were exported, in slices that have more.';
comment on column exports.verifications.gone_rows is 'Rows fewer than were exported, in slices that have fewer.';

do $$
begin
  grant select on exports.runs, exports.slices, exports.bad_rows, exports.coverage, exports.verifications to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
