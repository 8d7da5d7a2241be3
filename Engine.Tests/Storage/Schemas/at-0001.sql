-- Runs as the first version left them, in every state it knew; queue "test", workflow "code". Inputs and outputs are JSON.
insert into engine.worker (worker_id, name, queue, slots, state, executing, started_at, renewed_at, lease_until)
values ('00000000-0000-0000-0000-0000000000aa', 'old', 'test', 4, 'active', 1, now() - interval '1 hour', now(), now() + interval '1 second');

insert into engine.run (run_id, workflow, queue, priority, idempotency_key, input, tags)
select ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'code', 'test', 0, 'key ' || n, '\x00'::bytea || convert_to(n::text, 'UTF8'), '{"of": "old"}'
from generate_series(1, 6) n;

insert into engine.live_run (run_id, workflow, queue, priority, state, epoch, worker_id, due_at, started_at, claimed_at)
values
  ('00000000-0000-0000-0000-000000000001', 'code', 'test', 0, 'queued', 0, null, now(), null, null),
  -- Executing, its first step done, its second one in progress with a checkpoint.
  ('00000000-0000-0000-0000-000000000002', 'code', 'test', 0, 'running', 1, '00000000-0000-0000-0000-0000000000aa', now(), now(), now()),
  -- In a timer, its first step done.
  ('00000000-0000-0000-0000-000000000003', 'code', 'test', 0, 'waiting', 1, null, now() + interval '1 second', now(), now()),
  -- Its first step done, then given back.
  ('00000000-0000-0000-0000-000000000004', 'code', 'test', 0, 'queued', 3, null, now(), now(), now());

insert into engine.step_record (run_id, place, name, epoch, worker_id, attempts, output, started_at)
select ('00000000-0000-0000-0000-00000000000' || n)::uuid, 0, 'first', 1, '00000000-0000-0000-0000-0000000000aa', 1, '\x00'::bytea || convert_to('1000', 'UTF8'), now()
from unnest(array[2, 3, 4, 5]) n;

insert into engine.open_step (run_id, place, name, epoch, worker_id, attempt, checkpoint, checkpoint_at, started_at, alive_at)
values ('00000000-0000-0000-0000-000000000002', 1, 'second', 1, '00000000-0000-0000-0000-0000000000aa', 1, '\x00'::bytea || convert_to('7', 'UTF8'), now(), now(), now());

insert into engine.step_record (run_id, place, name, epoch, worker_id, attempts, output, started_at)
values
  ('00000000-0000-0000-0000-000000000003', 1, 'second', 1, '00000000-0000-0000-0000-0000000000aa', 1, '\x00'::bytea || convert_to('10', 'UTF8'), now()),
  ('00000000-0000-0000-0000-000000000005', 1, 'second', 1, '00000000-0000-0000-0000-0000000000aa', 1, '\x00'::bytea || convert_to('10', 'UTF8'), now());
insert into engine.step_record (run_id, place, name, epoch, worker_id, attempts, wake_at, started_at)
values ('00000000-0000-0000-0000-000000000003', 2, 'sleep', 1, '00000000-0000-0000-0000-0000000000aa', 0, now() + interval '1 second', now());

insert into engine.attempt_record (run_id, place, attempt, name, epoch, worker_id, error, started_at)
values ('00000000-0000-0000-0000-000000000006', 0, 1, 'first', 1, '00000000-0000-0000-0000-0000000000aa', 'No luck.', now());
insert into engine.outcome (run_id, state, epoch, worker_id, output, error, started_at)
values
  ('00000000-0000-0000-0000-000000000005', 'completed', 1, '00000000-0000-0000-0000-0000000000aa', '\x00'::bytea || convert_to('1015', 'UTF8'), null, now()),
  ('00000000-0000-0000-0000-000000000006', 'failed', 1, '00000000-0000-0000-0000-0000000000aa', null, 'No luck.', now());

insert into engine.schedule (schedule_id, spec, workflow, queue, input, catch_up_window, settled_to, next_occurrence, next_at)
values ('old', '{"every": "00:00:01"}', 'code', 'test', '\x00'::bytea || convert_to('50', 'UTF8'), '1 minute',
  date_trunc('second', now()), date_trunc('second', now()) + interval '1 second', date_trunc('second', now()) + interval '1 second');
