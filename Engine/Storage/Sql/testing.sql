-- Statements of TestEngine, which moves the clock of a database of its own. No index: such a database is small.

-- name: LookAtTime
-- The clock; the next time at which something falls due by itself; how many things are due now; and which schedules can fire.
select engine.clock(),
  least(
    (select min(due_at) from engine.live_run where state in ('queued', 'waiting') and due_at > engine.clock()),
    (select min(deadline_at) from engine.live_run where deadline_at > engine.clock()),
    (select min(next_at) from engine.schedule where not blocked and next_at > engine.clock())),
  (select count(*) from engine.live_run
    where (state in ('queued', 'waiting') and due_at <= engine.clock()) or deadline_at <= engine.clock())
  + (select count(*) from engine.relay),
  (select count(*) from engine.schedule s
    where not s.blocked and (s.next_at <= engine.clock() or (s.buffered > 0 and not s.paused and not exists (
      select from engine.occurrence c join engine.live_run l using (run_id) where c.schedule_id = s.schedule_id and c.running))))

-- name: LookAtRunning
-- What is asked of the runs that workers hold.
select run_id, epoch, events, cancel_requested_at is not null, pause_requested_at is not null
from engine.live_run where state = 'running' order by run_id

-- name: MoveLeases
-- Locks: worker rows. Leases go by real time, so they move with the clock.
update engine.worker set lease_until = lease_until + $1, renewed_at = renewed_at + $1 where state in ('active', 'stopping')

-- name: RenewLeases
-- Locks: worker rows. For a renewal that began before the jump and was written after it.
update engine.worker set lease_until = greatest(lease_until, engine.clock() + $1) where state in ('active', 'stopping')
