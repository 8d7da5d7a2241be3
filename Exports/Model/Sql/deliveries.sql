-- Statements about deliveries in pieces, and about messages that were refused.

-- name: RecordOffsets
-- Index: delivery_pkey. Locks: the rows, by one statement. The engine's lock on the run keeps an old holder out.
insert into exports.delivery (run_id, slice, receiver, messages, rows)
select @RunId, @Slice, receiver, max(messages), max(rows)
from unnest(@Receivers::text[], @Messages::bigint[], @Rows::bigint[]) as o (receiver, messages, rows) group by receiver
on conflict (run_id, slice, receiver) do update
set messages = excluded.messages, rows = excluded.rows, updated_at = engine.clock()

-- name: InsertDeadLetter
-- Index: dead_letter_run_id_slice_number_receiver_key_key.
insert into exports.dead_letter (dead_letter_id, run_id, slice, number, message_id, receiver, receiver_key, rows, status, reason, body)
values (@Id, @RunId, @Slice, @Number, @MessageId, @Receiver, @ReceiverKey, @Rows, @Status, @Reason, @Body)
on conflict (run_id, slice, number, receiver_key) do nothing

-- name: ListDeadLetters
-- Index: dead_letter_pending, unless all are asked for.
select to_json(l)::text from exports.dead_letters l
where (@All or state = 'pending') and (@BatchExport::text is null or batch_export = @BatchExport) and (@RunId::uuid is null or run_id = @RunId)
  and (@Id::uuid is null or dead_letter_id = @Id)
  and (@Project::text is null or exists (
    select from exports.run r join exports.batch_export e using (batch_export_id) where r.run_id = l.run_id and e.project = @Project))
  and (@AfterAt::timestamptz is null or (created_at, dead_letter_id) > (@AfterAt, @AfterId::uuid))
order by created_at, dead_letter_id limit @Limit

-- name: LockDeadLetter
-- Index: dead_letter_pkey. Locks: the row, so that two who send it do so one after the other.
select l.message_id as MessageId, l.receiver_key as ReceiverKey, l.body as Body, e.destination_id as DestinationId
from exports.dead_letter l join exports.run r using (run_id) join exports.batch_export e using (batch_export_id)
where l.dead_letter_id = @Id and l.resent_at is null
for update of l

-- name: MarkResent
-- Index: dead_letter_pkey. The row is locked.
update exports.dead_letter set resent_at = engine.clock(), body = null where dead_letter_id = @Id

-- name: DeleteDeadLetter
-- Index: dead_letter_pkey.
delete from exports.dead_letter where dead_letter_id = @Id

-- name: NextBodies
-- Index: dead_letter_pkey. All of them, in batches.
select dead_letter_id as Id, body as Body from exports.dead_letter where dead_letter_id > @After and body is not null order by dead_letter_id limit 100

-- name: ReplaceBody
-- Index: dead_letter_pkey.
update exports.dead_letter set body = @New where dead_letter_id = @Id and body = @Old
