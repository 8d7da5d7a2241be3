-- What the third version added: a run that waits for a signal which was sent, and a paused one.
insert into engine.run (run_id, workflow, queue, priority, input)
select ('00000000-0000-0000-0000-00000000002' || n)::uuid, 'code', 'test', 0, '\x00'::bytea || convert_to((20 + n)::text, 'UTF8') from generate_series(1, 2) n;
insert into engine.live_run (run_id, workflow, queue, priority, state, epoch, due_at, version, run_attempt, events, pause_requested_at)
values ('00000000-0000-0000-0000-000000000021', 'code', 'test', 0, 'queued', 1, now(), 1, 1, 1, null),
  ('00000000-0000-0000-0000-000000000022', 'code', 'test', 0, 'paused', 1, now(), 1, 1, 0, now());
insert into engine.signal (run_id, name, payload) values ('00000000-0000-0000-0000-000000000021', 'go', '\x00'::bytea || convert_to('5', 'UTF8'));
