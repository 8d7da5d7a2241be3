-- Schedules with an overlap policy, a buffer, manual occurrences and a record of every occurrence.
--
-- An occurrence is named by (schedule, request, time): request is all zeros for those of the rule, and the request's own id for
-- triggered and backfilled ones, which may therefore stand at the same time as one of the rule.
--
-- Everything about a schedule is decided by whoever holds its row FOR UPDATE: outcomes, the buffer, the runs that are started.
-- 'buffered' is the only outcome that changes: to started or skipped, once.

alter table engine.schedule
  -- What there was before behaved so.
  add column overlap text not null default 'allow_all'
    check (overlap in ('skip', 'buffer_one', 'buffer_all', 'cancel_other', 'terminate_other', 'allow_all')),
  add column buffered integer not null default 0 check (buffered >= 0),
  -- Its rule or its input cannot be used: nothing is decided until it is changed or unpaused.
  add column blocked boolean not null default false,
  -- What fell due up to here and was not decided then belongs to a pause.
  add column skip_until timestamptz;
alter table engine.schedule alter column overlap drop default;
update engine.schedule set skip_until = null, blocked = paused and note like 'It cannot fire: %';

drop index engine.schedule_due;
create index schedule_due on engine.schedule (next_at) where not blocked;
create index schedule_buffered on engine.schedule (schedule_id) where buffered > 0 and not blocked;

alter table engine.occurrence
  drop constraint occurrence_outcome_check,
  drop constraint occurrence_check,
  drop constraint occurrence_check1,
  drop constraint occurrence_pkey,
  add column request_id uuid not null default '00000000-0000-0000-0000-000000000000',
  add column cause text not null default 'schedule' check (cause in ('schedule', 'trigger', 'backfill')),
  add column overlap text,
  -- The order in which they came; the buffer's order.
  add column ordinal bigint generated always as identity,
  -- Its run may still be going: dropped by the next decision about the schedule that finds it final.
  add column running boolean not null default false,
  add constraint occurrence_pkey primary key (schedule_id, request_id, occurrence),
  add constraint occurrence_outcome_check check (outcome in ('started', 'skipped', 'buffered')),
  add constraint occurrence_started_check check ((outcome = 'started') = (run_id is not null)),
  add constraint occurrence_skipped_check check ((outcome = 'skipped') = (reason is not null)),
  add constraint occurrence_running_check check (not running or outcome = 'started'),
  add constraint occurrence_cause_check1
    check ((cause = 'schedule') = (request_id = '00000000-0000-0000-0000-000000000000'));
update engine.occurrence c set running = true from engine.live_run l where l.run_id = c.run_id;
create unique index occurrence_order on engine.occurrence (schedule_id, ordinal);
create index occurrence_buffered on engine.occurrence (schedule_id, ordinal) where outcome = 'buffered';
create index occurrence_running on engine.occurrence (schedule_id) where running;

create or replace view engine.schedules as
select s.schedule_id, s.spec, s.workflow, s.queue, s.paused, s.note, s.settled_to, s.next_occurrence, s.next_at,
  s.catch_up_window, s.created_at, s.updated_at, s.overlap, s.buffered, s.blocked,
  case when s.next_at < engine.clock() then engine.clock() - s.next_at else interval '0' end as lag
from engine.schedule s;
comment on view engine.schedules is
  'One row a schedule. settled_to: every occurrence up to here has its outcome. note: why it is paused, or was last unpaused.';
comment on column engine.schedules.overlap is 'What becomes of an occurrence while an earlier run is going: skip, buffer_one, buffer_all, cancel_other, allow_all.';
comment on column engine.schedules.buffered is 'How many occurrences wait for a run to end.';
comment on column engine.schedules.blocked is 'Its rule or its input cannot be used on the machine that fires; the note says why.';
comment on column engine.schedules.lag is 'For how long its next occurrence has been due.';

create or replace view engine.occurrences as
select c.schedule_id, c.occurrence, c.outcome, c.run_id, c.reason, c.decided_at, c.cause,
  case when c.cause <> 'schedule' then c.request_id end as request_id, c.overlap, c.ordinal
from engine.occurrence c;
comment on view engine.occurrences is
  'One row an occurrence of a schedule: started, with its run; skipped, with the reason; or buffered until it is one of these.';
comment on column engine.occurrences.cause is 'schedule: of the rule. trigger, backfill: somebody asked for it; these may be at the same time as one of the rule.';
comment on column engine.occurrences.request_id is 'Of a trigger or a backfill: one of its request.';
comment on column engine.occurrences.overlap is 'The overlap policy that it was decided by; null before there was one.';
comment on column engine.occurrences.ordinal is 'Ascends in the order in which the occurrences of a schedule were decided.';
