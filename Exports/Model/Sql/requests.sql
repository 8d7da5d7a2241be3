-- Statements about requests with an idempotency key.

-- name: BeginRequest
-- Index: request_key. Locks: the row. A request that was broken off before it changed anything is taken over, under the next epoch.
insert into exports.request as r (actor, key, request_hash) values (@Actor, @Key, @Hash)
on conflict on constraint request_key do update set epoch = r.epoch + 1, begun_at = engine.clock()
where r.request_hash = excluded.request_hash and r.finished_at is null and r.committed_at is null and r.begun_at < engine.clock() - @Patience::interval
returning request_id as RequestId, epoch as Epoch

-- name: FindRequest
-- Index: request_key.
select request_id as RequestId, request_hash as Hash, committed_at is not null as Committed, subject_kind as SubjectKind, subject_id as SubjectId,
  status as Status, answer as Answer
from exports.request where actor = @Actor and key = @Key

-- name: CommitRequest
-- Index: request_pkey. Locks: the row, until the change is committed: whoever would take it over waits. No row: somebody has.
update exports.request
set committed_at = coalesce(committed_at, engine.clock()), subject_kind = coalesce(subject_kind, @Kind), subject_id = coalesce(subject_id, @SubjectId)
where request_id = @RequestId and epoch = @Epoch

-- name: FinishRequest
-- Index: request_pkey.
update exports.request set finished_at = engine.clock(), status = @Status, answer = @Answer where request_id = @RequestId and epoch = @Epoch

-- name: ForgetRequest
-- Index: request_pkey. Of one that was refused; what was changed all the same is remembered.
delete from exports.request where request_id = @RequestId and epoch = @Epoch and committed_at is null

-- name: ForgetAnswers
update exports.request set answer = null where answer is not null

-- name: ForgetOldRequests
-- Index: request_begun. A few at a time.
delete from exports.request where request_id in (
  select request_id from exports.request where begun_at < engine.clock() - @Kept::interval order by begun_at limit 100 for update skip locked)
