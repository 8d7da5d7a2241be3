-- What runs are steered by: signals, children, pause, deadline, versions.
--
-- Whatever may wake a run (a signal, a child's end) is an event: its row is written first, then live_run.events goes up by
-- one, and a run that waits for an event is queued. A worker that leaves such a run says how many events it had seen; if there
-- are more by then, the run is queued at once. Both update the same row, so no event falls between.
--
-- What the end of one run means for another (a child's end for its parent, a parent's end for its children) does not happen
-- in the same transaction: that would take rows in no order. It is noted in engine.relay and done a moment later, by any worker.

alter table engine.run
  add column parent_run_id uuid,
  add column on_parent_close text check (on_parent_close in ('cancel', 'terminate', 'abandon')),
  add column execution_timeout interval check (execution_timeout > interval '0'),
  add column retry jsonb,
  add column restarts integer not null default 0 check (restarts >= 0),
  add constraint run_parent_check check ((parent_run_id is null) = (on_parent_close is null));
create index run_parent on engine.run (parent_run_id) where parent_run_id is not null;
create index run_tags on engine.run using gin (tags jsonb_path_ops) where tags <> '{}';

alter table engine.live_run
  add column parent_run_id uuid,
  add column has_children boolean not null default false,
  add column deadline_at timestamptz,
  add column pause_requested_at timestamptz,
  add column events bigint not null default 0,
  add column wakes_on_event boolean not null default false,
  -- Of the workflow's code; null until a worker claims the run for the first time.
  add column version integer check (version > 0),
  -- How often the run as a whole was begun.
  add column run_attempt integer not null default 1 check (run_attempt > 0),
  add constraint live_run_paused_check check (state <> 'paused' or pause_requested_at is not null);
create index live_run_deadline on engine.live_run (deadline_at) where deadline_at is not null;

alter table engine.outcome
  add column version integer,
  add column run_attempt integer not null default 1;

create table engine.signal (
  signal_id bigint generated always as identity primary key,
  run_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  idempotency_key text check (length(idempotency_key) between 1 and 500),
  payload bytea not null,
  sent_at timestamptz not null default engine.clock(),
  taken_place integer,
  taken_at timestamptz,
  check ((taken_place is null) = (taken_at is null))
);
create index signal_waiting on engine.signal (run_id, name, signal_id) where taken_place is null;
create index signal_run on engine.signal (run_id);
create unique index signal_idempotency on engine.signal (run_id, idempotency_key) where idempotency_key is not null;

create table engine.relay (
  relay_id bigint generated always as identity primary key,
  kind text not null check (kind in ('child_ended', 'parent_ended')),
  -- The parent of a child that ended, or the parent that ended.
  run_id uuid not null
);

create table engine.run_status (
  run_id uuid primary key,
  status text not null check (length(status) <= 1000),
  set_at timestamptz not null default engine.clock()
) with (fillfactor = 50);

create table engine.worker_offer (
  worker_id uuid not null,
  workflow text not null,
  version integer not null check (version > 0),
  primary key (worker_id, workflow, version)
);

create or replace view engine.runs as
select r.run_id, r.workflow, r.queue, r.priority, coalesce(l.state, o.state)::text as state,
  coalesce(l.epoch, o.epoch) as epoch, coalesce(l.worker_id, o.worker_id) as worker_id,
  r.created_at, coalesce(l.started_at, o.started_at) as started_at, l.due_at, o.finished_at,
  coalesce(l.cancel_requested_at, o.cancel_requested_at) as cancel_requested_at,
  case when o.run_id is not null then o.error
    else (select a.error from engine.attempt_record a where a.run_id = r.run_id order by a.ended_at desc limit 1) end as error,
  r.tags, r.idempotency_key, r.schedule_id, r.scheduled_for,
  coalesce(l.version, o.version) as version, coalesce(l.run_attempt, o.run_attempt) as run_attempt,
  r.parent_run_id, l.pause_requested_at, l.deadline_at, s.status as custom_status, r.restarts
from engine.run r
left join engine.live_run l using (run_id)
left join engine.outcome o using (run_id)
left join engine.run_status s using (run_id);

create view engine.signals as
select g.signal_id, g.run_id, g.name, g.sent_at, g.taken_place, g.taken_at from engine.signal g;
comment on view engine.signals is 'One row a signal. taken_place: the place of the wait that it ended; null while nobody waited for it.';

create view engine.stranded_runs as
select l.run_id, l.workflow, l.version, l.queue, l.state::text as state, l.due_at
from engine.live_run l
where l.state in ('queued', 'waiting') and not exists (
  select 1 from engine.worker w join engine.worker_offer f using (worker_id)
  where w.queue = l.queue and w.state = 'active' and w.lease_until > engine.clock()
    and f.workflow = l.workflow and (l.version is null or f.version = l.version));
comment on view engine.stranded_runs is
  'Runs that no live worker of their queue can go on with: nobody offers the workflow, or not the version that they began with.';

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'exporter_readonly') then
    grant select on engine.signals, engine.stranded_runs to exporter_readonly;
  end if;
exception
  when insufficient_privilege then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
