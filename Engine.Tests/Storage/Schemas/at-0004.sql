-- What the fourth version added: limits of a queue, and runs with a key of which one may execute at a time.
insert into engine.queue_limit (queue, concurrency_key, max_running) values ('test', '', 3);
insert into engine.run (run_id, workflow, queue, priority, input, concurrency_key, concurrency_limit)
select ('00000000-0000-0000-0000-00000000003' || n)::uuid, 'code', 'test', 0, '\x00'::bytea || convert_to((30 + n)::text, 'UTF8'), 'key', 1 from generate_series(1, 2) n;
insert into engine.live_run (run_id, workflow, queue, priority, state, due_at, concurrency_key, concurrency_limit)
select ('00000000-0000-0000-0000-00000000003' || n)::uuid, 'code', 'test', 0, 'queued', now(), 'key', 1 from generate_series(1, 2) n;
