-- Statements about the engine's views.

-- name: ListQueues
-- Index: live_run, as a whole: it holds what is unfinished.
select json_build_object('queue', queue, 'queued', queued, 'running', running, 'waiting', waiting, 'oldest_due_at', oldest_due_at,
  'oldest_seconds', extract(epoch from engine.clock() - oldest_due_at), 'max_running', max_running, 'rate_count', rate_count,
  'rate_seconds', extract(epoch from rate_period), 'burst', burst)::text
from engine.queues order by queue

-- name: ListWorkers
-- Index: none; a worker has one row, and old ones are removed.
select json_build_object('worker_id', worker_id, 'name', name, 'queue', queue, 'slots', slots, 'state', state, 'executing', executing,
  'refused_writes', refused_writes, 'started_at', started_at, 'renewed_at', renewed_at, 'lease_until', lease_until, 'alive', alive)::text
from engine.workers order by alive desc, renewed_at desc, worker_id limit @Limit

-- name: ListSchedules
-- Index: schedule_pkey, batch_export_pkey.
select json_build_object('schedule_id', s.schedule_id, 'batch_export', e.name, 'project', e.project, 'queue', s.queue, 'paused', s.paused, 'note', s.note,
  'settled_to', s.settled_to, 'next_occurrence', s.next_occurrence, 'next_at', s.next_at, 'lag_seconds', extract(epoch from s.lag), 'buffered', s.buffered,
  'blocked', s.blocked)::text
from engine.schedules s left join exports.batch_export e on s.schedule_id = 'export:' || e.batch_export_id
where @After::text is null or s.schedule_id > @After
order by s.schedule_id limit @Limit
