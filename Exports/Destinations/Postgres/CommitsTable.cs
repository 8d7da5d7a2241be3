using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>What a slice was opened with.</summary>
/// <param name="Id">The claim's number; rows that it brings carry it. It grows with every claim of every slice.</param>
/// <param name="Before">What is committed of the slice; null when nothing is.</param>
internal sealed record SliceClaim(long Id, SliceCommit? Before);

/// <summary>What a slice left.</summary>
/// <param name="Id">The number of the claim that committed it.</param>
/// <param name="By">The step that committed it; null when it did not say.</param>
/// <param name="Target">The table that its rows went to.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="Bytes">Bytes that were sent.</param>
/// <param name="Note">What the caller wants to find again; null when nothing.</param>
internal sealed record SliceCommit(long Id, string? By, string Target, long Rows, long Bytes, string? Note)
{
    /// <summary>Fencing token and number of the attempt; null where that was not looked at.</summary>
    public (long FencingToken, int Number)? Attempt { get; init; }
}

/// <summary>An older attempt has lost its slice to a newer one; its transaction ends without a trace.</summary>
internal sealed class SliceTakenException() : Exception("Another attempt has opened this slice.");

/// <summary>
/// The table <c>_exporter_commits</c> beside the rows: one row a slice, which says who opened it last and what is committed of
/// it. It is changed in the transaction that brings the rows, so it is true of them at every moment.
/// </summary>
internal sealed class CommitsTable(string schema)
{
    public const string TableName = "_exporter_commits";
    public const string SequenceName = "_exporter_commit_id";

    private readonly string _table = Quoted.In(schema, TableName);
    private readonly string _sequence = Quoted.In(schema, SequenceName);

    /// <summary>Makes the table where it is missing.</summary>
    public async Task EnsureAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        const string IsThere = "select to_regclass($1) is not null and to_regclass($2) is not null";
        var look = Statements.Command(connection, null, IsThere, _table, _sequence);
        await using var looking = look.ConfigureAwait(false);
        if (await look.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is true)
        {
            return;
        }

        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = transaction.ConfigureAwait(false);
        await Statements.LockAsync(transaction, _table, cancellationToken).ConfigureAwait(false);
        var create = Statements.Command(connection, transaction, $"""
            create sequence if not exists {_sequence};
            create table if not exists {_table} (
              export text not null,
              interval text not null,
              interval_start timestamptz not null,
              interval_end timestamptz not null,
              slice integer not null,
              claim_id bigint not null,
              claimed_by text,
              claimed_epoch bigint not null,
              claimed_attempt integer not null,
              claimed_at timestamptz not null default clock_timestamp(),
              commit_id bigint,
              committed_by text,
              committed_epoch bigint,
              committed_attempt integer,
              committed_at timestamptz,
              target text,
              rows bigint check (rows >= 0),
              bytes bigint check (bytes >= 0),
              note text,
              primary key (export, interval, slice),
              check (num_nonnulls(commit_id, committed_epoch, committed_attempt, committed_at, target, rows, bytes) in (0, 7))
            );
            comment on table {_table} is
              'One row a slice of a data interval of an export: who opened it last, and what is committed of it. Changed with the rows, in one transaction.';
            """);
        await using var disposing = create.ConfigureAwait(false);
        await create.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Opens a slice: from here on nobody who opened it earlier can commit it. Waits for a commit of it that is under way.
    /// </summary>
    /// <exception cref="SliceTakenException">A newer attempt of the same step has opened it.</exception>
    public async Task<SliceClaim> ClaimAsync(NpgsqlConnection connection, SliceAddress address, CancellationToken cancellationToken)
    {
        var claim = Statements.Command(connection, null, $"""
            insert into {_table} as c (export, interval, interval_start, interval_end, slice, claim_id, claimed_by, claimed_epoch, claimed_attempt)
            values ($1, $2, $3, $4, $5, nextval('{_sequence.Replace("'", "''", StringComparison.Ordinal)}'), $6, $7, $8)
            on conflict (export, interval, slice) do update
            set claim_id = excluded.claim_id, claimed_by = excluded.claimed_by, claimed_epoch = excluded.claimed_epoch,
              claimed_attempt = excluded.claimed_attempt, claimed_at = clock_timestamp()
            where c.claimed_by is distinct from excluded.claimed_by
              or (c.claimed_epoch, c.claimed_attempt) <= (excluded.claimed_epoch, excluded.claimed_attempt)
            returning claim_id, commit_id, committed_by, target, rows, bytes, note, committed_epoch, committed_attempt
            """,
            address.Export,
            address.Interval.ToKey(),
            address.Interval.Start.UtcDateTime,
            address.Interval.End.UtcDateTime,
            address.Slice,
            (object?)address.StepKey ?? DBNull.Value,
            address.FencingToken,
            address.Attempt);
        await using var disposing = claim.ConfigureAwait(false);
        var reader = await claim.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        if (!await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            throw new SliceTakenException();
        }

        var before = CommitOf(reader, 1);
        return new SliceClaim(reader.GetInt64(0), before is null ? null : before with { Attempt = (reader.GetInt64(7), reader.GetInt32(8)) });
    }

    /// <summary>Commits a slice, if its claim is still the last one; with the transaction.</summary>
    /// <returns>What was committed of it before.</returns>
    /// <exception cref="SliceTakenException">It is not: another attempt has opened the slice since, or its run has ended without it.</exception>
    public async Task<SliceCommit?> CommitAsync(
        NpgsqlTransaction transaction, SliceAddress address, SliceCommit commit, CancellationToken cancellationToken)
    {
        var update = Statements.Command(transaction.Connection!, transaction, $"""
            with before as (
              select commit_id, committed_by, target, rows, bytes, note from {_table}
              where export = $1 and interval = $2 and slice = $3 and claim_id = $4 for update)
            update {_table} c
            set commit_id = c.claim_id, committed_by = c.claimed_by, committed_epoch = c.claimed_epoch, committed_attempt = c.claimed_attempt,
              committed_at = clock_timestamp(), target = $5, rows = $6, bytes = $7, note = $8
            from before where c.export = $1 and c.interval = $2 and c.slice = $3 and c.claim_id = $4
            returning before.commit_id, before.committed_by, before.target, before.rows, before.bytes, before.note
            """,
            address.Export,
            address.Interval.ToKey(),
            address.Slice,
            commit.Id,
            commit.Target,
            commit.Rows,
            commit.Bytes,
            (object?)commit.Note ?? DBNull.Value);
        await using var disposing = update.ConfigureAwait(false);
        var reader = await update.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        return await reader.ReadAsync(cancellationToken).ConfigureAwait(false) ? CommitOf(reader, 0) : throw new SliceTakenException();
    }

    /// <summary>What is committed of the slices of an interval; the slices are locked until the transaction ends.</summary>
    public async Task<IReadOnlyList<(int Slice, SliceCommit? Commit)>> LockIntervalAsync(
        NpgsqlTransaction transaction, RunManifest manifest, CancellationToken cancellationToken)
    {
        var look = Statements.Command(transaction.Connection!, transaction, $"""
            select slice, commit_id, committed_by, target, rows, bytes, note from {_table} where export = $1 and interval = $2 order by slice for update
            """, manifest.Export, manifest.Interval.ToKey());
        await using var disposing = look.ConfigureAwait(false);
        var reader = await look.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var found = new List<(int, SliceCommit?)>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            found.Add((reader.GetInt32(0), CommitOf(reader, 1)));
        }

        return found;
    }

    /// <summary>Forgets slices of an interval; who has one open finds nothing to commit.</summary>
    public async Task ForgetAsync(NpgsqlTransaction transaction, RunManifest manifest, int[] slices, CancellationToken cancellationToken)
    {
        var forget = Statements.Command(
            transaction.Connection!,
            transaction,
            $"delete from {_table} where export = $1 and interval = $2 and slice = any($3)",
            manifest.Export,
            manifest.Interval.ToKey(),
            slices);
        await using var disposing = forget.ConfigureAwait(false);
        await forget.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static SliceCommit? CommitOf(NpgsqlDataReader reader, int at) => reader.IsDBNull(at)
        ? null
        : new SliceCommit(
            reader.GetInt64(at),
            reader.IsDBNull(at + 1) ? null : reader.GetString(at + 1),
            reader.GetString(at + 2),
            reader.GetInt64(at + 3),
            reader.GetInt64(at + 4),
            reader.IsDBNull(at + 5) ? null : reader.GetString(at + 5));
}
