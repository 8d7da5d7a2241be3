-- The concurrency key and limit that the runs of a schedule are started with; as those of engine.run.

alter table engine.schedule
  add column concurrency_key text collate "C" check (length(concurrency_key) between 1 and 200),
  add column concurrency_limit integer check (concurrency_limit between 1 and 10000),
  add check ((concurrency_key is null) = (concurrency_limit is null));

create or replace view engine.schedules as
select s.schedule_id, s.spec, s.workflow, s.queue, s.paused, s.note, s.settled_to, s.next_occurrence, s.next_at,
  s.catch_up_window, s.created_at, s.updated_at, s.overlap, s.buffered, s.blocked,
  case when s.next_at < engine.clock() then engine.clock() - s.next_at else interval '0' end as lag,
  s.concurrency_key, s.concurrency_limit
from engine.schedule s;
