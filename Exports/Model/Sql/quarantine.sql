-- Statements about rows that a destination cannot hold.

-- name: ClearSlice
-- Index: quarantined_row_pkey. What an earlier export of the slice put aside.
delete from exports.quarantined_row where run_id = @RunId and slice = @Slice

-- name: InsertRows
-- Index: quarantined_row_pkey.
insert into exports.quarantined_row (run_id, slice, number, column_name, reason, key_hash, row)
select @RunId, @Slice, n, c, r, h, j
from unnest(@Numbers::integer[], @Columns::text[], @Reasons::text[], @KeyHashes::numeric[], @Rows::bytea[]) as u (n, c, r, h, j)

-- name: LoadRows
-- Index: quarantined_row_pkey.
select slice as Slice, number as Number, row as Row from exports.quarantined_row
where run_id = @RunId order by slice, number limit @Limit

-- name: NextRows
-- Index: quarantined_row_pkey. All of them, in batches, by their place.
select run_id as RunId, slice as Slice, number as Number, row as Row from exports.quarantined_row
where (run_id, slice, number) > (@RunId, @Slice, @Number) order by run_id, slice, number limit 500

-- name: ReplaceRow
-- Index: quarantined_row_pkey.
update exports.quarantined_row set row = @New
where run_id = @RunId and slice = @Slice and number = @Number and row = @Old
