-- Statements about who changed what.

-- name: WriteAudit
-- Index: audit_entry_pkey.
insert into exports.audit_entry (actor, action, kind, subject_id, name, before, after, project)
values (@Actor, @Action, @Kind, @SubjectId, @Name, @Before::jsonb, @After::jsonb, @Project)

-- name: ListAudit
-- Index: audit_entry_project, or audit_entry_pkey, backwards.
select to_json(a)::text from exports.audit_log a
where (@Project::text is null or project = @Project) and (@Name::text is null or name = @Name) and (@Actor::text is null or actor = @Actor)
  and (@Since::timestamptz is null or at >= @Since) and (@Before::bigint is null or audit_id < @Before)
order by audit_id desc limit @Limit
