-- Statements about projects.

-- name: InsertProject
-- Index: project_name_key, which leaves out a name that is taken.
insert into exports.project (name, created_by) values (@Name, @Actor) on conflict (name) do nothing returning project_id

-- name: ListProjects
select to_json(p)::text from exports.projects p order by name

-- name: FindProject
-- Index: project_name_key.
select to_json(p)::text from exports.projects p where name = @Name

-- name: DeleteProject
-- Index: project_name_key. Foreign keys refuse it while there is, or was, something in it.
delete from exports.project where name = @Name returning project_id
