-- Who may do what: users, their roles in projects, sessions and API keys; and requests with an idempotency key. Passwords, keys and sessions
-- are stored as hashes alone. No view shows them.

create table exports.app_user (
  user_id uuid primary key default gen_random_uuid(),
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$'),
  -- As ASP.NET Core's PasswordHasher writes it.
  password_hash text not null,
  -- The password was made by somebody else, and is good for changing it and nothing more.
  must_change_password boolean not null default false,
  created_by text not null,
  created_at timestamptz not null default engine.clock(),
  updated_at timestamptz not null default engine.clock(),
  last_login_at timestamptz,
  deleted_at timestamptz
);
create unique index app_user_name on exports.app_user (lower(name)) where deleted_at is null;

-- A role in a project, or in all of them where none is named.
create table exports.user_grant (
  user_id uuid not null references exports.app_user on delete cascade,
  project text references exports.project (name) on delete cascade,
  role text not null check (role in ('viewer', 'operator', 'admin')),
  constraint user_grant_once unique nulls not distinct (user_id, project)
);
create index user_grant_project on exports.user_grant (project);

create table exports.user_session (
  -- SHA-256 of what the cookie holds.
  session_hash bytea primary key check (length(session_hash) = 32),
  user_id uuid not null references exports.app_user on delete cascade,
  created_at timestamptz not null default engine.clock(),
  seen_at timestamptz not null default engine.clock()
);
create index user_session_user on exports.user_session (user_id);

create table exports.api_key (
  key_id uuid primary key default gen_random_uuid(),
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  -- SHA-256 of the key, which is 256 random bits: nothing slower is needed.
  key_hash bytea not null check (length(key_hash) = 32),
  -- Its first characters, by which people tell keys apart.
  hint text not null,
  project text references exports.project (name) on delete cascade,
  role text not null check (role in ('viewer', 'operator', 'admin')),
  created_by text not null,
  created_at timestamptz not null default engine.clock(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  check (expires_at > created_at)
);
create unique index api_key_hash on exports.api_key (key_hash);
create unique index api_key_name on exports.api_key (coalesce(project, ''), name) where revoked_at is null;

-- A request with an idempotency key, recorded before its work. What it changes says so in its own transaction (committed_at), under the epoch of
-- whoever works at it: so a request that was broken off is either done again or known to be done, never both.
create table exports.request (
  request_id uuid primary key default gen_random_uuid(),
  actor text not null,
  key text not null check (length(key) between 1 and 200),
  request_hash bytea not null check (length(request_hash) = 32),
  epoch bigint not null default 1,
  begun_at timestamptz not null default engine.clock(),
  committed_at timestamptz,
  -- What was changed first.
  subject_kind text,
  subject_id uuid,
  finished_at timestamptz,
  status integer check (status between 200 and 599),
  -- The answer, through the payload codec, bound to the row's id; null when it was not kept.
  answer bytea,
  check ((status is null) = (finished_at is null)),
  constraint request_key unique (actor, key)
);
create index request_begun on exports.request (begun_at);

alter table exports.audit_entry
  drop constraint audit_entry_kind_check,
  add constraint audit_entry_kind_check check (kind in ('destination', 'batch_export', 'backfill', 'run', 'project', 'user', 'api_key', 'notification_target'));
