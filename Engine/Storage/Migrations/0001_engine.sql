-- The engine in thirty lines.
--
-- A run is started by inserting two rows: engine.run, which is written once and holds what the run was started with, and
-- engine.live_run, a narrow row that exists only until the run is final. A worker first registers in engine.worker, where
-- its lease stands: one row, renewed by one statement, however many runs it holds.
--
-- To claim, a worker takes live_run rows that are queued and due (FOR UPDATE SKIP LOCKED), writes its id into them and adds
-- one to their epoch. From then on every write for the run names (run, epoch, worker). A write first locks the live_run row
-- FOR KEY SHARE with exactly these values; what does not match is refused, and the lock holds off a takeover until the
-- write has committed. A takeover locks FOR UPDATE, so it waits for such a write, or passes the row by and comes back.
--
-- Steps are recorded in engine.step_record by their place in the code's order; a step in progress for longer than a moment,
-- or with a checkpoint, has a row in engine.open_step; attempts that failed are kept in engine.attempt_record.
--
-- A run that waits for a time gives its slot back: it is waiting until due_at, and then queued again. When it is final its
-- live_run row is deleted and engine.outcome inserted, in one statement.
--
-- A worker whose lease ended is marked lost by any other worker; then its runs are queued again under a new epoch, so that
-- nothing it may still write is accepted.
--
-- Lock order: worker, schedule, live_run (by run_id), then the rest. Whoever takes more than one row of a table takes
-- them in the order of the key or skips what is locked.

create function engine.clock() returns timestamptz language sql stable parallel safe as 'select statement_timestamp()';
comment on function engine.clock() is
  'The only clock of what is stored or compared across processes. Tests replace this function; no setting can.';

create type engine.run_state as enum
  ('queued', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled', 'terminated', 'timed_out');

create table engine.worker (
  worker_id uuid primary key,
  name text not null,
  queue text not null,
  slots integer not null check (slots > 0),
  state text not null check (state in ('active', 'stopping', 'stopped', 'lost')),
  executing integer not null default 0 check (executing >= 0),
  refused_writes bigint not null default 0 check (refused_writes >= 0),
  started_at timestamptz not null default engine.clock(),
  renewed_at timestamptz not null default engine.clock(),
  lease_until timestamptz not null
) with (fillfactor = 50);

create table engine.run (
  run_id uuid primary key,
  workflow text not null check (length(workflow) between 1 and 200),
  queue text not null check (length(queue) between 1 and 100),
  priority smallint not null,
  idempotency_key text check (length(idempotency_key) between 1 and 500),
  input bytea not null,
  tags jsonb not null default '{}' check (jsonb_typeof(tags) = 'object'),
  schedule_id text,
  scheduled_for timestamptz,
  start_at timestamptz,
  created_at timestamptz not null default engine.clock(),
  check ((schedule_id is null) = (scheduled_for is null))
);
create unique index run_idempotency on engine.run (workflow, idempotency_key) where idempotency_key is not null;
create index run_created on engine.run (created_at);
create index run_schedule on engine.run (schedule_id, scheduled_for) where schedule_id is not null;

create table engine.live_run (
  run_id uuid primary key,
  workflow text not null,
  queue text not null,
  priority smallint not null,
  state engine.run_state not null check (state in ('queued', 'running', 'waiting', 'paused')),
  epoch bigint not null default 0 check (epoch >= 0),
  -- Attempts under epochs up to this one no longer count: somebody asked for the failed run again.
  base_epoch bigint not null default 0,
  worker_id uuid,
  due_at timestamptz not null,
  started_at timestamptz,
  claimed_at timestamptz,
  cancel_requested_at timestamptz,
  check ((state = 'running') = (worker_id is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index live_run_ready on engine.live_run (queue, priority, due_at, run_id) where state = 'queued';
create index live_run_due on engine.live_run (due_at) where state = 'waiting';
create index live_run_held on engine.live_run (worker_id) where worker_id is not null;

create table engine.outcome (
  run_id uuid primary key,
  state engine.run_state not null check (state in ('completed', 'failed', 'cancelled', 'terminated', 'timed_out')),
  epoch bigint not null,
  worker_id uuid,
  output bytea,
  error text,
  started_at timestamptz,
  cancel_requested_at timestamptz,
  finished_at timestamptz not null default engine.clock(),
  check (state <> 'completed' or (output is not null and error is null)),
  check (state <> 'failed' or error is not null)
);
create index outcome_finished on engine.outcome (finished_at);

create table engine.step_record (
  run_id uuid not null,
  place integer not null check (place >= 0),
  name text not null,
  epoch bigint not null,
  worker_id uuid not null,
  attempts integer not null check (attempts >= 0),
  output bytea,
  error text,
  wake_at timestamptz,
  started_at timestamptz not null,
  finished_at timestamptz not null default engine.clock(),
  primary key (run_id, place),
  -- A record is an output, a final failure, or a timer.
  check (num_nonnulls(output, error, wake_at) = 1)
);

create table engine.open_step (
  run_id uuid not null,
  place integer not null check (place >= 0),
  name text not null,
  epoch bigint not null,
  worker_id uuid not null,
  attempt integer not null check (attempt >= 1),
  checkpoint bytea,
  checkpoint_at timestamptz,
  started_at timestamptz not null,
  alive_at timestamptz not null,
  primary key (run_id, place),
  check ((checkpoint is null) = (checkpoint_at is null))
) with (fillfactor = 70);

create table engine.attempt_record (
  run_id uuid not null,
  place integer not null,
  attempt integer not null check (attempt >= 1),
  name text not null,
  epoch bigint not null,
  worker_id uuid not null,
  error text not null,
  retry_at timestamptz,
  started_at timestamptz not null,
  ended_at timestamptz not null default engine.clock(),
  primary key (run_id, place, attempt)
);

create table engine.log_line (
  log_id bigint generated always as identity primary key,
  run_id uuid not null,
  at timestamptz not null default engine.clock(),
  level text not null check (level in ('trace', 'debug', 'information', 'warning', 'error', 'critical')),
  step text,
  message text not null
);
create index log_line_run on engine.log_line (run_id, log_id);

create table engine.schedule (
  schedule_id text primary key check (length(schedule_id) between 1 and 200),
  spec jsonb not null,
  workflow text not null,
  queue text not null,
  priority smallint not null default 0,
  input bytea not null,
  tags jsonb not null default '{}',
  catch_up_window interval not null check (catch_up_window >= interval '0'),
  paused boolean not null default false,
  note text,
  -- Occurrences up to this one have their outcome; next_at is the one after it, plus jitter.
  settled_to timestamptz not null,
  next_occurrence timestamptz,
  next_at timestamptz,
  created_at timestamptz not null default engine.clock(),
  updated_at timestamptz not null default engine.clock(),
  check ((next_occurrence is null) = (next_at is null)),
  check (next_occurrence > settled_to)
) with (fillfactor = 70);
create index schedule_due on engine.schedule (next_at) where not paused;

create table engine.occurrence (
  schedule_id text not null,
  occurrence timestamptz not null,
  outcome text not null check (outcome in ('started', 'skipped')),
  run_id uuid,
  reason text,
  decided_at timestamptz not null default engine.clock(),
  primary key (schedule_id, occurrence),
  check ((outcome = 'started') = (run_id is not null)),
  check ((outcome = 'skipped') = (reason is not null))
);

create view engine.runs as
select r.run_id, r.workflow, r.queue, r.priority, coalesce(l.state, o.state)::text as state,
  coalesce(l.epoch, o.epoch) as epoch, coalesce(l.worker_id, o.worker_id) as worker_id,
  r.created_at, coalesce(l.started_at, o.started_at) as started_at, l.due_at, o.finished_at,
  coalesce(l.cancel_requested_at, o.cancel_requested_at) as cancel_requested_at,
  case when o.run_id is not null then o.error
    else (select a.error from engine.attempt_record a where a.run_id = r.run_id order by a.ended_at desc limit 1) end as error,
  r.tags, r.idempotency_key, r.schedule_id, r.scheduled_for
from engine.run r
left join engine.live_run l using (run_id)
left join engine.outcome o using (run_id);
comment on view engine.runs is
  'One row a run. state: queued, running, waiting, paused, completed, failed, cancelled, terminated, timed_out.';

create view engine.steps as
select s.run_id, s.place, s.name,
  case when s.error is not null then 'failed' when s.wake_at > engine.clock() then 'waiting' else 'completed' end as state,
  s.attempts, s.epoch, s.worker_id, s.error, s.started_at, null::timestamptz as alive_at, null::timestamptz as checkpoint_at,
  coalesce(s.wake_at, s.finished_at) as finished_at
from engine.step_record s
union all
select p.run_id, p.place, p.name, case when l.epoch = p.epoch and l.worker_id = p.worker_id then 'running' else 'waiting' end,
  p.attempt, p.epoch, p.worker_id, null, p.started_at, p.alive_at, p.checkpoint_at, null
from engine.open_step p
left join engine.live_run l using (run_id)
where not exists (select 1 from engine.step_record s where s.run_id = p.run_id and s.place = p.place);
comment on view engine.steps is
  'One row a step that has ended or has been in progress for a moment. alive_at: its last sign of life.';

create view engine.attempts as
select a.run_id, a.place, a.name, a.attempt, 'failed' as state, a.epoch, a.worker_id, a.error, a.started_at, a.ended_at, a.retry_at
from engine.attempt_record a
union all
select s.run_id, s.place, s.name, s.attempts, 'completed', s.epoch, s.worker_id, null, s.started_at, s.finished_at, null
from engine.step_record s where s.output is not null
union all
select p.run_id, p.place, p.name, p.attempt, 'running', p.epoch, p.worker_id, null, p.started_at, null, null
from engine.open_step p
join engine.live_run l on l.run_id = p.run_id and l.epoch = p.epoch and l.worker_id = p.worker_id
where not exists (select 1 from engine.step_record s where s.run_id = p.run_id and s.place = p.place)
  and not exists (
    select 1 from engine.attempt_record a where a.run_id = p.run_id and a.place = p.place and a.attempt = p.attempt);
comment on view engine.attempts is 'One row a try of a step, counted from 1; failed ones with their error.';

create view engine.workers as
select w.worker_id, w.name, w.queue, w.slots, w.state, w.executing, w.refused_writes, w.started_at, w.renewed_at,
  w.lease_until, w.state in ('active', 'stopping') and w.lease_until > engine.clock() as alive
from engine.worker w;
comment on view engine.workers is
  'One row a worker. refused_writes: writes that came after its lease was lost, and changed nothing.';

create view engine.run_log as
select g.log_id, g.run_id, g.at, g.level, g.step, g.message from engine.log_line g;
comment on view engine.run_log is 'Lines that the engine and the workflow wrote about a run; best effort.';

create view engine.queues as
select l.queue, count(*) filter (where l.state = 'queued' and l.due_at <= engine.clock()) as queued,
  count(*) filter (where l.state = 'running') as running,
  count(*) filter (where l.state in ('waiting', 'paused') or (l.state = 'queued' and l.due_at > engine.clock())) as waiting,
  min(l.due_at) filter (where l.state = 'queued' and l.due_at <= engine.clock()) as oldest_due_at
from engine.live_run l group by l.queue;
comment on view engine.queues is 'One row a queue that has unfinished runs.';

create view engine.schedules as
select s.schedule_id, s.spec, s.workflow, s.queue, s.paused, s.note, s.settled_to, s.next_occurrence, s.next_at,
  s.catch_up_window, s.created_at, s.updated_at
from engine.schedule s;
comment on view engine.schedules is 'One row a schedule. settled_to: every occurrence up to here has its outcome.';

create view engine.occurrences as
select c.schedule_id, c.occurrence, c.outcome, c.run_id, c.reason, c.decided_at from engine.occurrence c;
comment on view engine.occurrences is 'One row an occurrence of a schedule: started, with its run, or skipped, with the reason.';

-- A role for analysts: the views and nothing else. Whoever may not create roles migrates without it.
do $$
begin
  if not exists (select 1 from pg_roles where rolname = 'exporter_readonly') then
    create role exporter_readonly nologin;
  end if;
  grant usage on schema engine to exporter_readonly;
  grant select on engine.runs, engine.steps, engine.attempts, engine.workers, engine.run_log, engine.queues,
    engine.schedules, engine.occurrences to exporter_readonly;
exception
  when insufficient_privilege or unique_violation or duplicate_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
