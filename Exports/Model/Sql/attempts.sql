-- Statements about attempts of slices: progress and cost. None joins a step's transaction but CommitAttempt: they are fenced by
-- the epoch that they carry.

-- name: BeginAttempt
-- Index: slice_attempt_pkey, slice_pkey. Locks: the slice, then its attempts. Earlier ones without an end are lost.
with slice as (
  select run_id, number from exports.slice where run_id = @RunId and number = @Slice for no key update
), lost as (
  update exports.slice_attempt a set outcome = 'lost'
  from slice s
  where a.run_id = s.run_id and a.slice = s.number and a.outcome is null 
    and (a.engine_run_id <> @EngineRunId or (a.epoch, a.attempt) < (@Epoch, @Attempt))
  returning a.sent_bytes - a.kept_bytes as bytes
), wasted as (
  update exports.slice s set resent_bytes = s.resent_bytes + (select sum(bytes) from lost)
  where s.run_id = @RunId and s.number = @Slice and exists (select from lost where bytes > 0)
)
insert into exports.slice_attempt (run_id, slice, engine_run_id, epoch, attempt)
select s.run_id, s.number, @EngineRunId, @Epoch, @Attempt from slice s
where not exists (
  select from exports.slice_attempt a
  where a.run_id = s.run_id and a.slice = s.number and a.engine_run_id = @EngineRunId
    and (a.epoch, a.attempt) > (@Epoch, @Attempt))
on conflict do nothing

-- name: SeeAttempt
-- Index: slice_attempt_pkey. Locks: the row. What has ended stays.
update exports.slice_attempt set rows = @Rows, source_bytes = @SourceBytes, sent_bytes = @SentBytes, kept_bytes = @KeptBytes, seen_at = engine.clock()
where run_id = @RunId and slice = @Slice and engine_run_id = @EngineRunId and epoch = @Epoch and attempt = @Attempt and outcome is null

-- name: FailAttempt
-- Index: slice_attempt_pkey, slice_pkey. Locks: the slice, then the attempt, as BeginAttempt.
with slice as (
  select run_id, number from exports.slice where run_id = @RunId and number = @Slice for no key update
), failed as (
  update exports.slice_attempt a
  set rows = @Rows, source_bytes = @SourceBytes, sent_bytes = @SentBytes, kept_bytes = @KeptBytes, seen_at = engine.clock(), outcome = 'failed'
  from slice s
  where a.run_id = s.run_id and a.slice = s.number and a.engine_run_id = @EngineRunId and a.epoch = @Epoch and a.attempt = @Attempt and a.outcome is null
  returning a.sent_bytes - a.kept_bytes as bytes
)
update exports.slice s set resent_bytes = s.resent_bytes + f.bytes
from failed f where s.run_id = @RunId and s.number = @Slice and f.bytes > 0

-- name: CommitAttempt
-- Index: slice_attempt_pkey. In the transaction that commits the slice, whose row is locked.
update exports.slice_attempt
set rows = @Rows, source_bytes = @SourceBytes, sent_bytes = @SentBytes, kept_bytes = @KeptBytes, seen_at = engine.clock(), outcome = 'committed'
where run_id = @RunId and slice = @Slice and engine_run_id = @EngineRunId and epoch = @Epoch and attempt = @Attempt and outcome is null

-- name: KeepAttempt
-- Index: slice_attempt_pkey, slice_pkey. In the transaction that commits the slice, whose row is locked. What was counted as sent again is not.
with ended as (
  select run_id, slice, engine_run_id, epoch, attempt, sent_bytes - kept_bytes as bytes from exports.slice_attempt
  where run_id = @RunId and slice = @Slice and engine_run_id = @EngineRunId and epoch = @Epoch and attempt = @Attempt and outcome in ('failed', 'lost')
), kept as (
  update exports.slice_attempt a set kept_bytes = a.sent_bytes
  from ended e
  where (a.run_id, a.slice, a.engine_run_id, a.epoch, a.attempt) = (e.run_id, e.slice, e.engine_run_id, e.epoch, e.attempt)
  returning e.bytes
)
update exports.slice s set resent_bytes = s.resent_bytes - k.bytes
from kept k where s.run_id = @RunId and s.number = @Slice and k.bytes > 0

-- name: FindProgress
-- Index: run_pkey.
select to_json(p)::text from (
  select run_id, batch_export, state, slices, slices_committed, slices_running, expected_rows, rows, sent_bytes, source_bytes, resent_bytes,
    rows_per_second, extract(epoch from time_left)::double precision as seconds_left, seen_at
  from exports.progress where run_id = @RunId) p

-- name: ListAttempts
-- Index: slice_attempt_pkey.
select to_json(a)::text from exports.slice_attempts a where run_id = @RunId order by slice, started_at, epoch, attempt
