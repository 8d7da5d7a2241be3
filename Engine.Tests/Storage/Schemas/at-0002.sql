-- What the second version added: a schedule with a buffer, of which an occurrence waits while a run of it is going.
insert into engine.run (run_id, workflow, queue, priority, input, schedule_id, scheduled_for)
values ('00000000-0000-0000-0000-000000000011', 'code', 'test', 0, '\x00'::bytea || convert_to('60', 'UTF8'), 'buffered', '2026-01-01 00:00Z');
insert into engine.live_run (run_id, workflow, queue, priority, state, due_at)
values ('00000000-0000-0000-0000-000000000011', 'code', 'test', 0, 'queued', now());
insert into engine.schedule (schedule_id, spec, workflow, queue, input, catch_up_window, settled_to, next_occurrence, next_at, overlap, buffered)
values ('buffered', '{"every": "365.00:00:00"}', 'code', 'test', '\x00'::bytea || convert_to('61', 'UTF8'), '1 day', now(), now() + interval '200 days', now() + interval '200 days', 'buffer_one', 1);
insert into engine.occurrence (schedule_id, occurrence, outcome, run_id, running, overlap)
values ('buffered', '2026-01-01 00:00Z', 'started', '00000000-0000-0000-0000-000000000011', true, 'buffer_one'),
  ('buffered', '2026-01-01 01:00Z', 'buffered', null, false, 'buffer_one');
