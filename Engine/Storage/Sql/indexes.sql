-- Upkeep of the tables that hold only what is unfinished, and of their indexes. A B-tree never gives pages back to the disk: after
-- a million runs have gone through, indexes stay as large as they were, though vacuum has emptied them. So they are rebuilt beside
-- those who write (reindex concurrently). A table gives its empty end back when it is vacuumed, but vacuum leaves that at the first
-- other who wants the table, and autovacuum does not come again while nothing more has died: so it is vacuumed once more. One worker
-- at a time does this, as who owns the tables.

-- name: LookAtIndexes
-- Catalogs and statistics only. The tables that fill and empty, and their indexes, if this user may rebuild them, and nobody vacuums or
-- changes the table just now: to wait for a lock would cancel an autovacuum. What a rebuild that broke off has left behind is not valid.
select r.relname::text, pg_relation_size(r.oid), greatest(t.reltuples, s.n_live_tup, 0)::bigint,
  s.n_tup_ins + s.n_tup_upd - s.n_tup_hot_upd, not coalesce(x.indisvalid, true) and r.relname ~ '_cc(new|old)\d*$',
  format(case when x.indexrelid is null then 'vacuum (truncate) engine.%I' else 'reindex index concurrently engine.%I' end, r.relname),
  format('drop index concurrently if exists engine.%I', r.relname)
from pg_class t
cross join lateral (select t.oid union all select indexrelid from pg_index where indrelid = t.oid) part(oid)
join pg_class r on r.oid = part.oid
left join pg_index x on x.indexrelid = r.oid
join pg_stat_all_tables s on s.relid = t.oid
where t.relnamespace = 'engine'::regnamespace and t.relname in ('live_run', 'open_step', 'relay')
  and pg_has_role(t.relowner, 'usage')
  and not exists (
    select 1 from pg_locks k
    where k.locktype = 'relation' and k.relation = t.oid and k.pid <> pg_backend_pid()
      and k.database = (select oid from pg_database where datname = current_database())
      and k.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
order by x.indexrelid is not null, r.relname

-- name: ListTransactions
-- Transactions that are under way in this database; a rebuild waits for those that began before it.
select k.virtualtransaction from pg_locks k join pg_stat_activity a using (pid)
where k.locktype = 'virtualxid' and k.pid <> pg_backend_pid() and a.datname = current_database()
  and a.backend_type is distinct from 'autovacuum worker'

-- name: TryLockUpkeep
-- Locks: an advisory lock of the session, until it ends.
select pg_try_advisory_lock(hashtextextended('exporter index upkeep', 0))

-- name: LimitUpkeep
-- While a rebuild waits for others it keeps vacuum from the table, so it does not wait for long.
select set_config('statement_timeout', '60s', false), set_config('lock_timeout', '20s', false)

-- name: SizeOfIndex
select pg_relation_size(format('engine.%I', $1::text)::regclass)
