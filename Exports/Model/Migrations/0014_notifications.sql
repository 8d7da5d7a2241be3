-- What is wrong with an export, from when to when, and who is told of it. A trouble begins once and ends once, so nobody is told of each
-- run that fails of the same cause; the row of who is to be told is inserted in the transaction that makes it true, and each is a run of
-- the engine of the same id, which tries until it is told.

create table exports.trouble (
  trouble_id uuid primary key,
  batch_export_id uuid not null references exports.batch_export,
  kind text not null check (kind in ('failing', 'late')),
  -- The interval that was the first to fail, or to be late, and its run, if there was one.
  interval_start timestamptz not null,
  interval_end timestamptz not null,
  run_id uuid,
  setting text,
  error text,
  began_at timestamptz not null default engine.clock(),
  ended_at timestamptz check (ended_at >= began_at),
  check (interval_end > interval_start)
);
create unique index trouble_open on exports.trouble (batch_export_id, kind) where ended_at is null;
create index trouble_began on exports.trouble (batch_export_id, began_at);

create view exports.troubles as
select t.trouble_id, e.name as batch_export, t.kind, t.began_at, coalesce(t.ended_at, e.deleted_at) as ended_at, t.interval_start, t.interval_end, t.run_id, t.setting, t.error, e.project
from exports.trouble t
join exports.batch_export e using (batch_export_id);
comment on view exports.troubles is 'One row a time in which an export was failing or late, from its first interval on.';
comment on column exports.troubles.kind is 'failing: a run failed for good; late: an interval was not at the destination in the time that late_after allows.';
comment on column exports.troubles.ended_at is 'When a run of this or a later interval was completed, or the export deleted; null: it is still so.';
comment on column exports.troubles.setting is 'The setting that the error names; null when it names none.';
comment on column exports.troubles.project is 'The project of its export.';

create table exports.notification_target (
  target_id uuid primary key,
  project text not null references exports.project (name),
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  kind text not null check (kind in ('webhook', 'email')),
  -- For people: the receivers of mail, or the host of a URL. The URL itself may be secret.
  address text not null check (address <> ''),
  -- A JSON object through the payload codec, bound to the row's id: a webhook's URL and what its messages are signed with.
  secrets bytea check ((kind = 'webhook') = (secrets is not null)),
  events text[] not null check (cardinality(events) > 0 and events <@ array['failed', 'recovered', 'paused', 'late', 'on_time']),
  -- Names of exports; none is all.
  batch_exports text[] not null default '{}',
  created_by text not null,
  created_at timestamptz not null default engine.clock(),
  constraint notification_target_name unique (project, name)
);

create view exports.notification_targets as
select t.target_id, t.name, t.kind, t.address, t.events, t.batch_exports, t.created_by, t.created_at, t.project
from exports.notification_target t;
comment on view exports.notification_targets is 'One row a place that is told when exports fail, recover, pause themselves or are late.';
comment on column exports.notification_targets.address is 'Who gets the mail, or the host of the URL; the URL itself is secret.';
comment on column exports.notification_targets.batch_exports is 'The exports that it is told of, by name; empty: all of its project.';

create table exports.notification (
  notification_id uuid primary key,
  target_id uuid references exports.notification_target on delete set null,
  target text not null,
  event text not null check (event in ('failed', 'recovered', 'paused', 'late', 'on_time')),
  batch_export_id uuid not null references exports.batch_export,
  run_id uuid,
  interval_start timestamptz,
  interval_end timestamptz,
  detail text not null check (detail <> ''),
  created_at timestamptz not null default engine.clock(),
  sent_at timestamptz
);
create index notification_created on exports.notification (created_at);
create index notification_of_target on exports.notification (target_id);

create view exports.notifications as
select n.notification_id, n.event, n.target, e.name as batch_export, n.run_id, n.interval_start, n.interval_end, n.detail, n.created_at, n.sent_at,
  g.state, g.error, e.project
from exports.notification n
join exports.batch_export e using (batch_export_id)
left join engine.runs g on g.run_id = n.notification_id;
comment on view exports.notifications is 'One row a message to one target, also while it is being tried.';
comment on column exports.notifications.detail is 'What the message says, in one sentence.';
comment on column exports.notifications.sent_at is 'When the target had it; null before, and when it was given up.';
comment on column exports.notifications.state is 'The state of its run in the engine; null once that is no longer kept.';
comment on column exports.notifications.error is 'Why it was given up.';

alter table exports.audit_entry
  drop constraint audit_entry_kind_check,
  add constraint audit_entry_kind_check check (kind in ('destination', 'batch_export', 'backfill', 'run', 'project', 'user', 'api_key', 'notification_target'));

do $$
begin
  grant select on exports.troubles, exports.notification_targets, exports.notifications to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
