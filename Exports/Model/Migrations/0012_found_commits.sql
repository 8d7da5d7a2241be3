-- A commit whose answer was lost is found by the next attempt: what the one before it had sent stays there.

comment on column exports.slice_attempts.kept_bytes is
  'Of these, bytes that stay there though the attempt failed: messages that a webhook has acknowledged, and all that was sent where a later attempt has found it committed. Else 0 where a slice is committed as a whole.';
