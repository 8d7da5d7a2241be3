-- Statements about who changed what.

-- name: WriteAudit
-- Index: audit_entry_pkey.
insert into exports.audit_entry (actor, action, kind, subject_id, name, before, after)
values (@Actor, @Action, @Kind, @SubjectId, @Name, @Before::jsonb, @After::jsonb)
