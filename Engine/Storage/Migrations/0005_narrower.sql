-- Narrower indexes of what waits. Runs of one queue and priority that fell due at the same instant, as those of a bulk start do,
-- need no order among them; without the run's id such entries share their key, and an insertion costs a third less.

drop index engine.live_run_ready;
create index live_run_ready on engine.live_run (queue, priority, due_at)
  where state = 'queued' and concurrency_key is null;
drop index engine.live_run_ready_key;
create index live_run_ready_key on engine.live_run (queue, priority, concurrency_key, due_at)
  where state = 'queued' and concurrency_key is not null;
