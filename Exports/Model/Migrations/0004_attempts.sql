-- What every attempt of a slice has moved: progress while it goes on, cost once it has failed.
--
-- A row is inserted when an attempt begins, and its figures are written every few seconds and at its end. When a process is
-- killed nobody writes the end: then the next attempt of the slice says 'lost', with the figures that were written last. Bytes
-- that a failed or lost attempt had sent are sent again, so they are added to the slice's resent_bytes, once, by the statement
-- that ends the attempt. A late writer changes nothing: what has ended stays as it is, and nobody begins behind a newer epoch.

create table exports.slice_attempt (
  run_id uuid not null,
  slice integer not null,
  -- That of the run itself, or of a later look at it.
  engine_run_id uuid not null,
  epoch bigint not null check (epoch >= 0),
  attempt integer not null check (attempt >= 1),
  started_at timestamptz not null default engine.clock(),
  seen_at timestamptz not null default engine.clock(),
  rows bigint not null default 0 check (rows >= 0),
  source_bytes bigint not null default 0 check (source_bytes >= 0),
  sent_bytes bigint not null default 0 check (sent_bytes >= 0),
  outcome text check (outcome in ('committed', 'failed', 'lost')),
  primary key (run_id, slice, engine_run_id, epoch, attempt),
  foreign key (run_id, slice) references exports.slice (run_id, number)
) with (fillfactor = 70);

create view exports.slice_attempts as
select a.run_id, e.name as batch_export, a.slice, a.engine_run_id, a.epoch, a.attempt, coalesce(a.outcome, 'running') as state, a.started_at, a.seen_at,
  a.rows, a.source_bytes, a.sent_bytes
from exports.slice_attempt a
join exports.run r using (run_id)
join exports.batch_export e using (batch_export_id);
comment on view exports.slice_attempts is 'One row an attempt of a slice: what it has read and sent.';
comment on column exports.slice_attempts.engine_run_id is 'The engine''s run that made it: the run itself, or a verification.';
comment on column exports.slice_attempts.epoch is 'The epoch that it began under: it grows with every worker that takes the run.';
comment on column exports.slice_attempts.attempt is 'From 1, within a run''s step.';
comment on column exports.slice_attempts.state is
  'running, committed, failed, or lost: its process died, so its figures are those of a moment before.';
comment on column exports.slice_attempts.seen_at is 'When its figures were written last: every few seconds while it moves rows.';
comment on column exports.slice_attempts.rows is 'Rows that it has given to the destination.';
comment on column exports.slice_attempts.source_bytes is 'Bytes that came over the wire from the source.';
comment on column exports.slice_attempts.sent_bytes is
  'Bytes that it has sent to the destination. Of a failed or lost attempt these are part of the resent_bytes of slice and run.';

create view exports.progress as
select r.run_id, e.name as batch_export, coalesce(g.state, case when r.finished_at is not null then 'completed' end) as state,
  (r.planned_slices + s.splits)::integer as slices, s.committed::integer as slices_committed, n.attempts::integer as slices_running, r.expected_rows,
  (s.rows + n.rows)::bigint as rows, (s.bytes + n.sent_bytes)::bigint as sent_bytes, (s.source_bytes + n.source_bytes)::bigint as source_bytes,
  s.resent_bytes::bigint as resent_bytes, p.rows_per_second,
  case when g.state = 'running' and p.rows_per_second > 0
    then make_interval(secs => round(greatest(r.expected_rows - s.rows - n.rows, 0) / p.rows_per_second)) end as time_left,
  n.seen_at
from exports.run r
join exports.batch_export e using (batch_export_id)
left join engine.runs g using (run_id)
cross join lateral (
  select count(*) filter (where state = 'committed') as committed, count(*) filter (where state = 'split') as splits, coalesce(sum(rows), 0) as rows, coalesce(sum(bytes), 0) as bytes,
    coalesce(sum(source_bytes), 0) as source_bytes, coalesce(sum(resent_bytes), 0) as resent_bytes
  from exports.slice where run_id = r.run_id) s
cross join lateral (
  select count(*) filter (where x.outcome is null) as attempts, coalesce(sum(x.rows) filter (where x.outcome is null), 0) as rows,
    coalesce(sum(x.sent_bytes) filter (where x.outcome is null), 0) as sent_bytes,
    coalesce(sum(x.source_bytes) filter (where x.outcome is null), 0) as source_bytes, max(x.seen_at) as seen_at
  from exports.slice_attempt x
  where x.run_id = r.run_id and x.engine_run_id = r.run_id and (x.outcome is not null or (g.state = 'running' and x.epoch = g.epoch))) n
cross join lateral (
  select round(sum(x.rows) / nullif(extract(epoch from max(x.seen_at) - min(x.started_at)), 0), 1)::double precision as rows_per_second
  from exports.slice_attempt x
  where x.run_id = r.run_id and x.engine_run_id = r.run_id and (x.outcome is null or x.outcome = 'committed')
    and x.epoch = (select max(epoch) from exports.slice_attempt where run_id = r.run_id and engine_run_id = r.run_id)) p;
comment on view exports.progress is 'One row a batch export run: how far it is, with what its slices in progress have moved.';
comment on column exports.progress.slices_running is 'Slices that are being moved now.';
comment on column exports.progress.rows is 'Rows of committed slices, and those that slices in progress have moved so far.';
comment on column exports.progress.sent_bytes is 'Likewise, bytes that were sent to the destination; without what was sent in vain.';
comment on column exports.progress.resent_bytes is 'Bytes that attempts which failed had sent.';
comment on column exports.progress.rows_per_second is 'Since a worker took the run last; null while there is nothing to go by.';
comment on column exports.progress.time_left is 'What is left of the expected rows, at that pace; null when the run does not execute.';
comment on column exports.progress.seen_at is 'When figures were written last: they are a few seconds old.';

do $$
begin
  grant select on exports.slice_attempts, exports.progress to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'exporter_readonly may not read exports.slice_attempts and exports.progress: %', sqlerrm;
end
$$;
