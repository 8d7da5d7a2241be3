-- Statements about what is wrong with exports, and who is told.

-- name: BeginTrouble
-- Index: trouble_open, which leaves out an export that is in such trouble already. The export is locked.
insert into exports.trouble (trouble_id, batch_export_id, kind, interval_start, interval_end, run_id, setting, error)
values (@TroubleId, @BatchExportId, @Kind, @Start, @End, @RunId, @Setting, @Error)
on conflict (batch_export_id, kind) where ended_at is null do nothing

-- name: EndTroubles
-- Index: trouble_open. The export is locked. This interval is at the destination, or a later one.
update exports.trouble set ended_at = engine.clock()
where batch_export_id = @BatchExportId and ended_at is null and interval_start <= @Start
returning kind

-- name: TargetsOf
-- Index: notification_target_name. Those that are told of an event of an export.
select t.target_id as TargetId, t.name
from exports.notification_target t join exports.batch_export e on e.project = t.project
where e.batch_export_id = @BatchExportId and @Event = any(t.events) and (cardinality(t.batch_exports) = 0 or e.name = any(t.batch_exports))
order by t.target_id

-- name: InsertNotification
-- Index: notification_pkey.
insert into exports.notification (notification_id, target_id, target, event, batch_export_id, run_id, interval_start, interval_end, detail)
select @NotificationId, t.target_id, t.name, @Event, @BatchExportId, @RunId, @Start, @End, @Detail
from exports.notification_target t where t.target_id = @TargetId

-- name: FindNotification
-- Index: notification_pkey.
select to_json(n)::text from exports.notifications n where notification_id = @NotificationId

-- name: TargetOfNotification
-- Index: notification_pkey, notification_target_pkey. None when it was deleted meanwhile.
select t.target_id as TargetId, t.project, t.name, t.kind, t.address, t.secrets
from exports.notification n join exports.notification_target t using (target_id)
where n.notification_id = @NotificationId

-- name: MarkSent
-- Index: notification_pkey.
update exports.notification set sent_at = engine.clock() where notification_id = @NotificationId and sent_at is null

-- name: ListNotifications
-- Index: notification_created. The newest first.
select to_json(n)::text from exports.notifications n where project = @Project order by created_at desc limit @Limit

-- name: ListTroubles
-- Index: trouble_open.
select to_json(t)::text from exports.troubles t where project = @Project and (not @Open or ended_at is null) order by began_at desc limit @Limit

-- name: InsertTarget
-- Index: notification_target_name, which refuses a name that is taken.
insert into exports.notification_target (target_id, project, name, kind, address, secrets, events, batch_exports, created_by)
values (@TargetId, @Project, @Name, @Kind, @Address, @Secrets, @Events, @BatchExports, @Actor)

-- name: ListTargets
-- Index: notification_target_name.
select to_json(t)::text from exports.notification_targets t where project = @Project order by name

-- name: FindTarget
-- Index: notification_target_name.
select to_json(t)::text from exports.notification_targets t where project = @Project and name = @Name

-- name: LoadTarget
-- Index: notification_target_name.
select target_id as TargetId, project, name, kind, address, secrets from exports.notification_target where project = @Project and name = @Name

-- name: DeleteTarget
-- Index: notification_target_name. What it was told of stays.
delete from exports.notification_target where project = @Project and name = @Name returning target_id

-- name: AllTargetSecrets
-- Index: notification_target_pkey.
select target_id as TargetId, project, name, kind, address, secrets from exports.notification_target where secrets is not null order by target_id

-- name: ReplaceTargetSecrets
-- Index: notification_target_pkey. Only what was read is replaced.
update exports.notification_target set secrets = @New where target_id = @TargetId and secrets = @Old

-- name: Watched
-- Exports that are to be at the destination in a time, and go on by themselves; few.
select to_json(e)::text from exports.batch_exports e
where not paused and deleted_at is null and settings->>'late_after' is not null

-- name: IsLate
-- Index: covered_interval_pkey, run_export. The export is locked. Whether an interval that was to be exported is not there: it has ended since somebody
-- changed the export, or there is a run of it.
select not exists (
    select from exports.covered_interval c
    where c.batch_export_id = e.batch_export_id and c.interval_start < @End and c.interval_end >= @End)
  and (e.updated_at < @End
    or exists (select from exports.run r where r.batch_export_id = e.batch_export_id and r.interval_start = @Start and r.interval_end = @End))
from exports.batch_export e
where e.batch_export_id = @BatchExportId and not e.paused and e.deleted_at is null
