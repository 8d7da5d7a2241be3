-- Batch exports in twenty lines.
--
-- exports.destination is where rows go, exports.batch_export what goes there and when. Names are unique among what is not
-- deleted; a deleted row stays for the runs that name it, without its secrets.
--
-- exports.run is one data interval of one export, moved by the engine's run of the same id. It is inserted in the
-- transaction that starts the engine's run, or, when a schedule started that, by the run's first step. Its state, error and
-- worker are the engine's and are not copied here. When it is planned its slices are inserted, and never change again but
-- to become committed, in the transaction that records the slice's checkpoint. When it is finished its totals are written
-- and exports.covered_interval says that the interval is at the destination.
--
-- Of one export, two intervals are equal or apart: what is in a destination is found by its interval, so intervals that
-- overlap in part would put a row there twice. Whoever inserts a run or a covered interval locks the export's row first.
--
-- Lock order: the engine's live_run of the run that writes, then batch_export, run, slice (by number), covered_interval,
-- then other rows of the engine.

create table exports.destination (
  destination_id uuid primary key,
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  kind text not null check (kind <> ''),
  settings jsonb not null check (jsonb_typeof(settings) = 'object'),
  -- A JSON object through the payload codec, bound to the row's id. The names are known without a key.
  secrets bytea,
  secret_names text[] not null default '{}',
  created_at timestamptz not null default engine.clock(),
  updated_at timestamptz not null default engine.clock(),
  deleted_at timestamptz,
  check (updated_at >= created_at),
  check ((secrets is null) = (cardinality(secret_names) = 0)),
  check (deleted_at is null or secrets is null)
);
create unique index destination_name on exports.destination (name) where deleted_at is null;

create table exports.batch_export (
  batch_export_id uuid primary key,
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  destination_id uuid not null references exports.destination,
  model jsonb not null check (jsonb_typeof(model) = 'object'),
  format jsonb not null check (jsonb_typeof(format) = 'object'),
  schedule jsonb not null check (jsonb_typeof(schedule) = 'object'),
  settings jsonb not null check (jsonb_typeof(settings) = 'object'),
  paused boolean not null default false,
  note text,
  created_at timestamptz not null default engine.clock(),
  updated_at timestamptz not null default engine.clock(),
  deleted_at timestamptz,
  check (updated_at >= created_at)
);
create unique index batch_export_name on exports.batch_export (name) where deleted_at is null;
create index batch_export_destination on exports.batch_export (destination_id);

create table exports.backfill (
  backfill_id uuid primary key,
  batch_export_id uuid not null references exports.batch_export,
  start_at timestamptz not null,
  end_at timestamptz not null,
  intervals integer not null check (intervals > 0),
  parallel integer not null check (parallel between 1 and 100),
  replace boolean not null,
  run_id uuid not null unique,
  created_by text not null,
  created_at timestamptz not null default engine.clock(),
  check (end_at > start_at)
);
create index backfill_export on exports.backfill (batch_export_id, created_at);

create table exports.run (
  run_id uuid primary key,
  batch_export_id uuid not null references exports.batch_export,
  interval_start timestamptz not null,
  interval_end timestamptz not null,
  trigger text not null check (trigger in ('schedule', 'manual', 'backfill')),
  backfill_id uuid references exports.backfill,
  created_at timestamptz not null default engine.clock(),
  planned_at timestamptz,
  planned_slices integer check (planned_slices >= 0),
  expected_rows bigint check (expected_rows >= 0),
  finished_at timestamptz,
  exported_rows bigint check (exported_rows >= 0),
  bytes_written bigint check (bytes_written >= 0),
  source_bytes bigint check (source_bytes >= 0),
  resent_bytes bigint check (resent_bytes >= 0),
  late_rows bigint check (late_rows >= 0),
  check (interval_end > interval_start),
  check ((trigger = 'backfill') = (backfill_id is not null)),
  check (num_nonnulls(planned_at, planned_slices, expected_rows) in (0, 3)),
  check (num_nonnulls(finished_at, exported_rows, bytes_written, source_bytes, resent_bytes, late_rows) in (0, 6)),
  check (finished_at is null or planned_at is not null)
);
create index run_export on exports.run (batch_export_id, interval_start, interval_end);
create index run_unfinished on exports.run (batch_export_id) where finished_at is null;
create index run_backfill on exports.run (backfill_id) where backfill_id is not null;
create index run_created on exports.run (created_at);

create table exports.slice (
  run_id uuid not null references exports.run,
  number integer not null check (number >= 0),
  range_start timestamptz not null,
  range_end timestamptz not null,
  hash_bucket integer not null default 0,
  hash_buckets integer not null default 1 check (hash_buckets >= 1),
  expected_rows bigint not null check (expected_rows >= 0),
  state text not null default 'pending' check (state in ('pending', 'committed')),
  rows bigint check (rows >= 0),
  bytes bigint check (bytes >= 0),
  file text,
  sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
  source_bytes bigint check (source_bytes >= 0),
  resent_bytes bigint not null default 0 check (resent_bytes >= 0),
  attempt integer check (attempt >= 1),
  epoch bigint check (epoch >= 0),
  committed_at timestamptz,
  primary key (run_id, number),
  check (range_end > range_start),
  check (hash_bucket >= 0 and hash_bucket < hash_buckets),
  check (num_nonnulls(rows, bytes, source_bytes, attempt, epoch, committed_at) = case state when 'committed' then 6 else 0 end),
  check (file is null or state = 'committed'),
  check (sha256 is null or file is not null)
);

create table exports.covered_interval (
  batch_export_id uuid not null references exports.batch_export,
  destination_id uuid not null references exports.destination,
  interval_start timestamptz not null,
  interval_end timestamptz not null,
  run_id uuid not null references exports.run,
  rows bigint not null check (rows >= 0),
  committed_at timestamptz not null default engine.clock(),
  primary key (batch_export_id, destination_id, interval_start),
  check (interval_end > interval_start)
);

create table exports.audit_entry (
  audit_id bigint generated always as identity primary key,
  at timestamptz not null default engine.clock(),
  actor text not null,
  action text not null check (action in ('create', 'update', 'delete', 'pause', 'unpause', 'run', 'cancel', 'retry')),
  kind text not null check (kind in ('destination', 'batch_export', 'backfill', 'run')),
  subject_id uuid not null,
  name text,
  before jsonb,
  after jsonb
);
create index audit_entry_subject on exports.audit_entry (subject_id, at);

create view exports.destinations as
select d.destination_id, d.name, d.kind, d.settings, d.secret_names, d.created_at, d.updated_at, d.deleted_at
from exports.destination d;
comment on view exports.destinations is 'One row a destination. Secrets are not here, only the names of those that are set.';
comment on column exports.destinations.kind is 'files, s3, ...';
comment on column exports.destinations.settings is 'Everything that is not secret, as it was given.';
comment on column exports.destinations.secret_names is 'Which secrets are set; their values are encrypted and in no view.';
comment on column exports.destinations.deleted_at is 'Set when it was deleted: the row stays for the runs that went there.';

create view exports.batch_exports as
select e.batch_export_id, e.name, d.name as destination, e.destination_id, e.model, e.format, e.schedule, e.settings,
  e.paused, e.note, s.next_occurrence, s.next_at, e.created_at, e.updated_at, e.deleted_at
from exports.batch_export e
join exports.destination d using (destination_id)
left join engine.schedules s on s.schedule_id = 'export:' || e.batch_export_id and not s.paused;
comment on view exports.batch_exports is 'One row a batch export: what leaves the source, how, where to, and when.';
comment on column exports.batch_exports.model is 'What leaves the source: table, columns, cursor column, key, dedup, filter.';
comment on column exports.batch_exports.format is 'How rows become bytes: format, compression.';
comment on column exports.batch_exports.schedule is 'When: "every" a duration, or "cron" in a time zone; each occurrence ends a data interval.';
comment on column exports.batch_exports.settings is 'How a run works: slices at once, size of a slice.';
comment on column exports.batch_exports.note is 'Why it is paused.';
comment on column exports.batch_exports.next_occurrence is 'The end of the next data interval; null while paused.';
comment on column exports.batch_exports.next_at is 'When the run of that interval starts: after the settle delay and the jitter.';

create view exports.runs as
select r.run_id, e.name as batch_export, r.batch_export_id, d.name as destination, r.interval_start, r.interval_end,
  r.trigger, r.backfill_id,
  coalesce(g.state, case when r.finished_at is not null then 'completed' end) as state,
  g.epoch, r.planned_slices as slices, coalesce(s.committed, 0)::integer as slices_committed, r.expected_rows,
  coalesce(r.exported_rows, s.rows, 0)::bigint as exported_rows, coalesce(r.bytes_written, s.bytes, 0)::bigint as bytes_written,
  coalesce(r.source_bytes, s.source_bytes, 0)::bigint as source_bytes,
  coalesce(r.resent_bytes, s.resent_bytes, 0)::bigint as resent_bytes, r.late_rows,
  r.created_at, g.started_at, r.planned_at, coalesce(g.finished_at, r.finished_at) as finished_at, g.error, g.worker_id,
  g.cancel_requested_at
from exports.run r
join exports.batch_export e using (batch_export_id)
join exports.destination d using (destination_id)
left join engine.runs g using (run_id)
left join lateral (
  select count(*) filter (where state = 'committed') as committed, sum(rows) as rows, sum(bytes) as bytes,
    sum(source_bytes) as source_bytes, sum(resent_bytes) as resent_bytes
  from exports.slice where run_id = r.run_id) s on true;
comment on view exports.runs is 'One row a batch export run: one data interval of one export, with the state of the engine''s run of the same id.';
comment on column exports.runs.interval_start is 'The first instant of the cursor column that belongs to the run.';
comment on column exports.runs.interval_end is 'The first instant after it: intervals are half-open.';
comment on column exports.runs.trigger is 'schedule, manual or backfill.';
comment on column exports.runs.state is
  'queued, running, waiting, paused, completed, failed, cancelled, terminated, timed_out; null when it was not completed and the engine has forgotten it.';
comment on column exports.runs.epoch is 'How often a worker took the run: more than 1 after a takeover or a wait.';
comment on column exports.runs.slices is 'Into how many slices the interval was cut; null until it is planned.';
comment on column exports.runs.slices_committed is 'How many of them are in the destination: how far the run is.';
comment on column exports.runs.expected_rows is 'Rows counted at the source when the run was planned, after dedup.';
comment on column exports.runs.exported_rows is 'Rows of the committed slices.';
comment on column exports.runs.bytes_written is 'Bytes of the committed slices, as they lie in the destination.';
comment on column exports.runs.source_bytes is 'Bytes that came over the wire from the source for the committed slices.';
comment on column exports.runs.resent_bytes is 'Bytes that were sent to the destination again, because an attempt failed.';
comment on column exports.runs.late_rows is 'Rows that were not there when the run was planned; null until it is finished.';
comment on column exports.runs.error is 'The latest error, in one line.';

create view exports.slices as
select s.run_id, e.name as batch_export, s.number as slice, s.range_start, s.range_end, s.hash_bucket, s.hash_buckets,
  s.expected_rows, s.state, s.rows, s.bytes, s.file, s.sha256, s.source_bytes, s.resent_bytes, s.attempt, s.epoch, s.committed_at
from exports.slice s
join exports.run r using (run_id)
join exports.batch_export e using (batch_export_id);
comment on view exports.slices is 'One row a slice: the part of a run that is committed, tried again and resumed as one.';
comment on column exports.slices.slice is 'Its number in the plan, from 0; part of the file''s name.';
comment on column exports.slices.range_start is 'The first instant of the cursor column in the slice.';
comment on column exports.slices.range_end is 'The first instant after it.';
comment on column exports.slices.hash_bucket is 'Only rows whose key hashes to this one of hash_buckets; looked at when hash_buckets is more than 1.';
comment on column exports.slices.state is 'pending or committed.';
comment on column exports.slices.rows is 'Rows written; null until it is committed.';
comment on column exports.slices.file is 'The object''s key or the file''s path below the destination''s root; null when there were no rows.';
comment on column exports.slices.attempt is 'The attempt that committed it, from 1: more than 1 means it was done again.';
comment on column exports.slices.epoch is 'The epoch that committed it.';

create view exports.backfills as
select b.backfill_id, e.name as batch_export, b.batch_export_id, b.start_at, b.end_at, b.intervals,
  coalesce(r.started, 0)::integer as intervals_started, coalesce(r.completed, 0)::integer as intervals_completed,
  b.parallel, b.replace, g.state, g.error, b.run_id, b.created_by, b.created_at, g.started_at, g.finished_at
from exports.backfill b
join exports.batch_export e using (batch_export_id)
left join engine.runs g using (run_id)
left join lateral (
  select count(*) as started, count(*) filter (where finished_at is not null) as completed
  from exports.run where backfill_id = b.backfill_id) r on true;
comment on view exports.backfills is 'One row a backfill: a range of time, exported as one run per interval of the schedule, in order.';
comment on column exports.backfills.intervals is 'Into how many intervals the range is cut.';
comment on column exports.backfills.intervals_started is 'For how many a run was started; those that were covered before have none unless replace was asked for.';
comment on column exports.backfills.replace is 'Whether intervals that are covered are exported again.';
comment on column exports.backfills.run_id is 'The engine''s run that starts the others.';

create view exports.coverage as
select e.name as batch_export, d.name as destination, c.interval_start, c.interval_end, c.rows, c.run_id, c.committed_at
from exports.covered_interval c
join exports.batch_export e using (batch_export_id)
join exports.destination d on d.destination_id = c.destination_id;
comment on view exports.coverage is
  'One row an interval that is at the destination, whichever run brought it. Intervals of an export never overlap; what is missing between two rows is a gap.';
comment on column exports.coverage.rows is 'Rows at the destination for this interval.';
comment on column exports.coverage.run_id is 'The run that brought it last.';

create view exports.audit_log as
select a.audit_id, a.at, a.actor, a.action, a.kind, a.name, a.subject_id, a.before, a.after from exports.audit_entry a;
comment on view exports.audit_log is 'One row a change that somebody made: who, when, what, before and after. Secrets are masked.';

do $$
begin
  if not exists (select 1 from pg_roles where rolname = 'exporter_readonly') then
    create role exporter_readonly nologin;
  end if;
  grant usage on schema exports to exporter_readonly;
  grant select on exports.destinations, exports.batch_exports, exports.runs, exports.slices, exports.backfills,
    exports.coverage, exports.audit_log to exporter_readonly;
exception
  when insufficient_privilege or unique_violation or duplicate_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
