-- A slice that is delivered piece by piece goes on where its last attempt stopped: of what a failed attempt had sent, only what was not
-- acknowledged is sent again, and counts as such.

alter table exports.slice_attempt add column kept_bytes bigint not null default 0,
  add constraint slice_attempt_kept_bytes_check check (kept_bytes between 0 and sent_bytes);

create or replace view exports.slice_attempts as
select a.run_id, e.name as batch_export, a.slice, a.engine_run_id, a.epoch, a.attempt, coalesce(a.outcome, 'running') as state, a.started_at, a.seen_at,
  a.rows, a.source_bytes, a.sent_bytes, a.kept_bytes
from exports.slice_attempt a
join exports.run r using (run_id)
join exports.batch_export e using (batch_export_id);
comment on column exports.slice_attempts.sent_bytes is
  'Bytes that it has sent to the destination. Of a failed or lost attempt those that were not kept are part of the resent_bytes of slice and run.';
comment on column exports.slice_attempts.kept_bytes is
  'Of these, bytes that stay there though the attempt failed: messages that a webhook has acknowledged. 0 where a slice is committed as a whole.';
