-- A migration as a later version might bring it: it takes the heaviest locks on the tables that workers use most.
alter table engine.live_run add column further integer not null default 0;
alter table engine.step_record add column further text;
create index live_run_further on engine.live_run (further, run_id);
alter table engine.worker add column further boolean not null default false;
