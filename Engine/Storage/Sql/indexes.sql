-- Upkeep of indexes. A B-tree never gives pages back to the disk: after a million runs have gone through, the indexes of the tables
-- that hold only what is unfinished stay as large as they were, though vacuum has emptied them. They are rebuilt beside those who
-- write (reindex concurrently), one worker at a time, by who owns them.

-- name: LookAtIndexes
-- Catalogs and statistics only. The indexes of tables that fill and empty, if this user may rebuild them, and nobody vacuums or
-- changes the table just now: to wait for a lock would cancel an autovacuum. What a rebuild that broke off has left behind is not valid.
select i.relname::text, pg_relation_size(i.oid), greatest(t.reltuples, s.n_live_tup, 0)::bigint,
  s.n_tup_ins + s.n_tup_upd - s.n_tup_hot_upd, not x.indisvalid and i.relname ~ '_cc(new|old)\d*$',
  format('reindex index concurrently engine.%I', i.relname), format('drop index concurrently if exists engine.%I', i.relname)
from pg_index x
join pg_class i on i.oid = x.indexrelid
join pg_class t on t.oid = x.indrelid
join pg_stat_all_tables s on s.relid = t.oid
where t.relnamespace = 'engine'::regnamespace and t.relname in ('live_run', 'open_step', 'relay')
  and pg_has_role(t.relowner, 'usage')
  and not exists (
    select 1 from pg_locks k
    where k.locktype = 'relation' and k.relation = t.oid and k.pid <> pg_backend_pid()
      and k.database = (select oid from pg_database where datname = current_database())
      and k.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
order by i.relname

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
