-- Failures that somebody has to mend, so that an export that goes on failing pauses itself; what a day has planned, for budgets; and a
-- backfill that begins with what is newest.

create table exports.run_failure (
  run_id uuid primary key references exports.run,
  batch_export_id uuid not null references exports.batch_export,
  failed_at timestamptz not null default engine.clock(),
  -- The setting that the error names; null when it names none.
  setting text,
  error text not null,
  mended_at timestamptz,
  check (mended_at >= failed_at)
);
create index run_failure_export on exports.run_failure (batch_export_id, failed_at);

create view exports.failures as
select f.run_id, e.name as batch_export, r.interval_start, r.interval_end, r.trigger, f.failed_at, f.setting, f.error, f.mended_at, e.project
from exports.run_failure f
join exports.run r using (run_id)
join exports.batch_export e on e.batch_export_id = f.batch_export_id;
comment on view exports.failures is 'One row a run that failed for good at least once: somebody had to change something.';
comment on column exports.failures.failed_at is 'When it failed last.';
comment on column exports.failures.setting is 'The setting to change; null when the error names none.';
comment on column exports.failures.error is 'The error, in one line, with what to do.';
comment on column exports.failures.project is 'The project of its export.';
comment on column exports.failures.mended_at is 'When the run was completed after all; null while it was not.';

-- About how many bytes the planned rows have in the source.
alter table exports.run add column expected_bytes bigint check (expected_bytes >= 0);
create index run_planned on exports.run (batch_export_id, planned_at) where planned_at is not null;

alter table exports.backfill add column newest_first boolean not null default false;
create or replace view exports.backfills as
select b.backfill_id, e.name as batch_export, b.batch_export_id, b.start_at, b.end_at, b.intervals,
  coalesce(r.started, 0)::integer as intervals_started, coalesce(r.completed, 0)::integer as intervals_completed,
  b.parallel, b.replace, g.state, g.error, b.run_id, b.created_by, b.created_at, g.started_at, g.finished_at, e.project, b.newest_first
from exports.backfill b
join exports.batch_export e using (batch_export_id)
left join engine.runs g using (run_id)
left join lateral (
  select count(*) as started, count(*) filter (where finished_at is not null) as completed
  from exports.run where backfill_id = b.backfill_id) r on true;
comment on view exports.backfills is 'One row a backfill: a range of time, exported as one run per interval of the schedule, in order.';
comment on column exports.backfills.newest_first is 'Whether the latest interval comes first; else the oldest.';

alter table exports.audit_entry
  drop constraint audit_entry_action_check,
  add constraint audit_entry_action_check check (
    action in ('create', 'update', 'delete', 'pause', 'unpause', 'resume', 'run', 'cancel', 'retry', 'verify', 'resend', 'reset'));

do $$
begin
  grant select on exports.failures to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
