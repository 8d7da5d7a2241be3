-- Statements about destinations.

-- name: InsertDestination
-- Index: destination_name, which refuses a name that is taken.
insert into exports.destination (destination_id, project, name, kind, settings, secrets, secret_names)
values (@Id, @Project, @Name, @Kind, @Settings::jsonb, @Secrets, @SecretNames)

-- name: ListDestinations
-- Index: destination_name.
select to_json(d)::text from exports.destinations d
where project = @Project and deleted_at is null and (@After::text is null or name > @After) order by name limit @Limit::integer

-- name: FindDestination
-- Index: destination_name.
select to_json(d)::text from exports.destinations d where project = @Project and name = @Name and deleted_at is null

-- name: LoadDestination
-- Index: destination_pkey.
select destination_id as Id, name as Name, kind as Kind, settings::text as Settings, secrets as Secrets
from exports.destination where destination_id = @Id

-- name: LockDestination
-- Index: destination_name. Locks: the row, so that no export comes to it meanwhile.
select destination_id from exports.destination where project = @Project and name = @Name and deleted_at is null for update

-- name: HoldsRows
-- Index: batch_export_destination, covered_interval_pkey.
select exists (
  select from exports.batch_export e join exports.covered_interval c using (batch_export_id)
  where e.destination_id = @Id and c.destination_id = @Id)

-- name: UpdateDestination
-- Index: destination_pkey. The row is locked by LockDestination.
update exports.destination
set settings = @Settings::jsonb, secrets = @Secrets, secret_names = @SecretNames, updated_at = engine.clock()
where destination_id = @Id

-- name: ExportsOfDestination
-- Index: batch_export_destination.
select name from exports.batch_export where destination_id = @Id and deleted_at is null order by name

-- name: DeleteDestination
-- Index: destination_pkey. The row is locked by LockDestination.
update exports.destination
set deleted_at = engine.clock(), updated_at = engine.clock(), secrets = null, secret_names = '{}'
where destination_id = @Id

-- name: AllSecrets
select destination_id as Id, name as Name, kind as Kind, settings::text as Settings, secrets as Secrets
from exports.destination where secrets is not null order by destination_id

-- name: ReplaceSecrets
-- Index: destination_pkey.
update exports.destination set secrets = @New where destination_id = @Id and secrets = @Old
