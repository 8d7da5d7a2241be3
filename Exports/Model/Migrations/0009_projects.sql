-- Projects: names of destinations and exports are unique in one, and who may do what is said of one. An export goes to a destination of
-- its own project. What is in none belongs to the project "default", which is always there.

create table exports.project (
  project_id uuid primary key default gen_random_uuid(),
  name text not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  created_by text not null,
  created_at timestamptz not null default engine.clock()
);
insert into exports.project (name, created_by) values ('default', 'exporter');

alter table exports.destination add column project text not null default 'default' references exports.project (name),
  add constraint destination_in_project unique (destination_id, project);
alter table exports.batch_export add column project text not null default 'default',
  add constraint batch_export_in_project foreign key (destination_id, project) references exports.destination (destination_id, project);
drop index exports.destination_name, exports.batch_export_name;
create unique index destination_name on exports.destination (project, name) where deleted_at is null;
create unique index batch_export_name on exports.batch_export (project, name) where deleted_at is null;

alter table exports.audit_entry add column project text,
  drop constraint audit_entry_kind_check,
  add constraint audit_entry_kind_check check (kind in ('destination', 'batch_export', 'backfill', 'run', 'project'));
update exports.audit_entry set project = 'default';
create index audit_entry_project on exports.audit_entry (project, audit_id);

create view exports.projects as
select p.name, p.created_by, p.created_at,
  (select count(*) from exports.destination d where d.project = p.name and d.deleted_at is null)::integer as destinations,
  (select count(*) from exports.batch_export e where e.project = p.name and e.deleted_at is null)::integer as batch_exports
from exports.project p;
comment on view exports.projects is 'One row a project: destinations and exports have their names in one.';

create or replace view exports.destinations as
select d.destination_id, d.name, d.kind, d.settings, d.secret_names, d.created_at, d.updated_at, d.deleted_at, d.project
from exports.destination d;
comment on column exports.destinations.project is 'In which its name is unique.';

create or replace view exports.batch_exports as
select e.batch_export_id, e.name, d.name as destination, e.destination_id, e.model, e.format, e.schedule, e.settings,
  e.paused, e.note, s.next_occurrence, s.next_at, e.created_at, e.updated_at, e.deleted_at, e.project
from exports.batch_export e
join exports.destination d using (destination_id)
left join engine.schedules s on s.schedule_id = 'export:' || e.batch_export_id and not s.paused;
comment on column exports.batch_exports.project is 'In which its name is unique.';

create or replace view exports.runs as
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
  g.error, g.worker_id, g.cancel_requested_at, e.project
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
comment on column exports.runs.project is 'The project of its export.';

create or replace view exports.backfills as
select b.backfill_id, e.name as batch_export, b.batch_export_id, b.start_at, b.end_at, b.intervals,
  coalesce(r.started, 0)::integer as intervals_started, coalesce(r.completed, 0)::integer as intervals_completed,
  b.parallel, b.replace, g.state, g.error, b.run_id, b.created_by, b.created_at, g.started_at, g.finished_at, e.project
from exports.backfill b
join exports.batch_export e using (batch_export_id)
left join engine.runs g using (run_id)
left join lateral (
  select count(*) as started, count(*) filter (where finished_at is not null) as completed
  from exports.run where backfill_id = b.backfill_id) r on true;
comment on column exports.backfills.project is 'The project of its export.';

create or replace view exports.coverage as
select e.name as batch_export, d.name as destination, c.interval_start, c.interval_end, c.rows, c.quarantined_rows, c.run_id, c.committed_at,
  c.verified_at, e.project
from exports.covered_interval c
join exports.batch_export e using (batch_export_id)
join exports.destination d on d.destination_id = c.destination_id;
comment on column exports.coverage.project is 'The project of its export.';

create or replace view exports.audit_log as
select a.audit_id, a.at, a.actor, a.action, a.kind, a.name, a.subject_id, a.before, a.after, a.project from exports.audit_entry a;
comment on column exports.audit_log.project is 'Of what was changed; null where that is in none.';

do $$
begin
  grant select on exports.projects to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
