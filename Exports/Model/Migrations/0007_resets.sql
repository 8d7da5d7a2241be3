-- A reset takes intervals out of the coverage and exports them again; the audit log says so.
alter table exports.audit_entry
  drop constraint audit_entry_action_check,
  add constraint audit_entry_action_check check (
    action in ('create', 'update', 'delete', 'pause', 'unpause', 'run', 'cancel', 'retry', 'verify', 'resend', 'reset'));
