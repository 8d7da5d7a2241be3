-- Payloads, table by table, in the order of their keys, so that they can be encrypted again under a newer key while workers run.
-- Each read answers up to $3 rows after the key ($1 text, $2 bigint); each write replaces exactly what was read.

-- name: ReadInputs
-- Index: run_pkey.
select run_id::text, 0::bigint, ''::text, input from engine.run where run_id > $1::uuid and $2 >= 0 order by run_id limit $3

-- name: WriteInputs
-- Index: run_pkey. Locks: run rows in the order of the key.
update engine.run t set input = w.new from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) w(key, number, old, new)
where t.run_id = w.key::uuid and t.input = w.old and w.number = 0

-- name: ReadOutputs
-- Index: outcome_pkey.
select run_id::text, 0::bigint, ''::text, output from engine.outcome
where run_id > $1::uuid and $2 >= 0 and output is not null order by run_id limit $3

-- name: WriteOutputs
-- Index: outcome_pkey.
update engine.outcome t set output = w.new from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) w(key, number, old, new)
where t.run_id = w.key::uuid and t.output = w.old and w.number = 0

-- name: ReadSteps
-- Index: step_record_pkey.
select run_id::text, place::bigint, ''::text, output from engine.step_record
where (run_id, place) > ($1::uuid, $2::int) and output is not null order by run_id, place limit $3

-- name: WriteSteps
-- Index: step_record_pkey.
update engine.step_record t set output = w.new from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) w(key, number, old, new)
where t.run_id = w.key::uuid and t.place = w.number and t.output = w.old

-- name: ReadCheckpoints
-- Index: open_step_pkey.
select run_id::text, place::bigint, ''::text, checkpoint from engine.open_step
where (run_id, place) > ($1::uuid, $2::int) and checkpoint is not null order by run_id, place limit $3

-- name: WriteCheckpoints
-- Index: open_step_pkey. A newer checkpoint, which a step has committed meanwhile, stays.
update engine.open_step t set checkpoint = w.new from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) w(key, number, old, new)
where t.run_id = w.key::uuid and t.place = w.number and t.checkpoint = w.old

-- name: ReadSignals
-- Index: signal_pkey.
select run_id::text, signal_id, name, payload from engine.signal where $1::text is not null and signal_id > $2 order by signal_id limit $3

-- name: WriteSignals
-- Index: signal_pkey.
update engine.signal t set payload = w.new from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) w(key, number, old, new)
where t.signal_id = w.number and t.payload = w.old and w.key is not null

-- name: ReadSchedules
-- Index: schedule_pkey.
select schedule_id, 0::bigint, ''::text, input from engine.schedule where schedule_id > $1 and $2 >= 0 order by schedule_id limit $3

-- name: WriteSchedules
-- Index: schedule_pkey.
update engine.schedule t set input = w.new from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) w(key, number, old, new)
where t.schedule_id = w.key and t.input = w.old and w.number = 0
