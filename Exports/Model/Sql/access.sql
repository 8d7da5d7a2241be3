-- Statements about users, sessions and API keys.

-- name: AnyUser
select exists (select from exports.app_user where deleted_at is null)

-- name: LockUsers
-- Locks: the table against others that write it, so that of two servers that start first one makes the first user.
lock table exports.app_user in share row exclusive mode

-- name: InsertUser
-- Index: app_user_name, which refuses a name that is taken.
insert into exports.app_user (name, password_hash, must_change_password, created_by)
values (@Name, @PasswordHash, @MustChange, @Actor) returning user_id

-- name: InsertGrants
-- Index: user_grant_once.
insert into exports.user_grant (user_id, project, role)
select @UserId, nullif(p, ''), r from unnest(@Projects::text[], @Roles::text[]) as g (p, r)

-- name: DeleteGrants
-- Index: user_grant_once.
delete from exports.user_grant where user_id = @UserId

-- name: TouchUser
-- Index: app_user_pkey.
update exports.app_user set updated_at = engine.clock() where user_id = @UserId

-- name: ListUsers
-- Index: app_user_name.
select json_build_object('user_id', u.user_id, 'name', u.name, 'must_change_password', u.must_change_password, 'grants', coalesce(g.grants, '[]'::json),
  'created_by', u.created_by, 'created_at', u.created_at, 'updated_at', u.updated_at, 'last_login_at', u.last_login_at)::text
from exports.app_user u
left join lateral (
  select json_agg(json_build_object('project', project, 'role', role) order by project nulls first) as grants
  from exports.user_grant where user_id = u.user_id) g on true
where u.deleted_at is null and (@Name::text is null or lower(u.name) = lower(@Name)) and (@After::text is null or lower(u.name) > lower(@After))
order by lower(u.name) limit @Limit

-- name: LockUser
-- Index: app_user_name. Locks: the row.
select user_id as UserId, name as Name, password_hash as PasswordHash from exports.app_user
where lower(name) = lower(@Name) and deleted_at is null for no key update

-- name: FindPassword
-- Index: app_user_name.
select user_id as UserId, name as Name, password_hash as PasswordHash from exports.app_user where lower(name) = lower(@Name) and deleted_at is null

-- name: SetPassword
-- Index: app_user_pkey.
update exports.app_user set password_hash = @PasswordHash, must_change_password = @MustChange, updated_at = engine.clock() where user_id = @UserId

-- name: DeleteUser
-- Index: app_user_pkey, user_session_user.
with gone as (delete from exports.user_session where user_id = @UserId)
update exports.app_user set deleted_at = engine.clock(), password_hash = '' where user_id = @UserId

-- name: OtherAdmins
-- Index: user_grant_project. Whether anybody else may do everything.
select exists (
  select from exports.user_grant g join exports.app_user u using (user_id)
  where g.project is null and g.role = 'admin' and u.deleted_at is null and u.user_id <> @UserId)

-- name: InsertSession
-- Index: user_session_pkey, app_user_pkey.
with login as (update exports.app_user set last_login_at = engine.clock() where user_id = @UserId)
insert into exports.user_session (session_hash, user_id) values (@Hash, @UserId)

-- name: FindSession
-- Index: user_session_pkey.
select json_build_object('name', u.name, 'must_change_password', u.must_change_password, 'grants', coalesce(g.grants, '[]'::json),
  'is_seen', s.seen_at > engine.clock() - interval '1 minute')::text
from exports.user_session s join exports.app_user u using (user_id)
left join lateral (
  select json_agg(json_build_object('project', project, 'role', role)) as grants from exports.user_grant where user_id = u.user_id) g on true
where s.session_hash = @Hash and u.deleted_at is null and s.seen_at > engine.clock() - @Idle::interval and s.created_at > engine.clock() - @Longest::interval

-- name: SeeSession
-- Index: user_session_pkey.
update exports.user_session set seen_at = engine.clock() where session_hash = @Hash

-- name: DeleteSession
-- Index: user_session_pkey.
delete from exports.user_session where session_hash = @Hash

-- name: DeleteSessions
-- Index: user_session_user. All of a user but one.
delete from exports.user_session where user_id = @UserId and session_hash is distinct from @Except

-- name: DeleteOldSessions
delete from exports.user_session where seen_at < engine.clock() - @Idle::interval or created_at < engine.clock() - @Longest::interval

-- name: InsertKey
-- Index: api_key_name, which refuses a name that is taken.
insert into exports.api_key (key_id, name, key_hash, hint, project, role, created_by, expires_at)
values (@KeyId, @Name, @Hash, @Hint, @Project, @Role, @Actor, @ExpiresAt)

-- name: ListKeys
-- Index: api_key_pkey.
select json_build_object('key_id', key_id, 'name', name, 'hint', hint, 'project', project, 'role', role, 'created_by', created_by, 'created_at', created_at,
  'expires_at', expires_at, 'last_used_at', last_used_at, 'revoked_at', revoked_at)::text
from exports.api_key
where (@All or revoked_at is null) and (@Project::text is null or project = @Project) and (@KeyId::uuid is null or key_id = @KeyId)
  and (@AfterAt::timestamptz is null or (created_at, key_id) < (@AfterAt, @AfterId::uuid))
order by created_at desc, key_id desc limit @Limit

-- name: RevokeKey
-- Index: api_key_pkey.
update exports.api_key set revoked_at = engine.clock() where key_id = @KeyId and revoked_at is null

-- name: FindKey
-- Index: api_key_hash.
select json_build_object('key_id', key_id, 'name', name, 'project', project, 'role', role,
  'is_seen', coalesce(last_used_at > engine.clock() - interval '1 minute', false))::text
from exports.api_key where key_hash = @Hash and revoked_at is null and (expires_at is null or expires_at > engine.clock())

-- name: SeeKey
-- Index: api_key_pkey.
update exports.api_key set last_used_at = engine.clock() where key_id = @KeyId
