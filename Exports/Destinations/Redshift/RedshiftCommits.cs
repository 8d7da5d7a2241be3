using System.Globalization;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>What a slice was opened with.</summary>
/// <param name="Id">The claim's name; its file, its tables and its rows carry it.</param>
/// <param name="Before">What is committed of the slice; null when nothing is.</param>
internal sealed record RedshiftClaim(string Id, RedshiftCommit? Before);

/// <summary>What a slice left.</summary>
/// <param name="Id">The claim that committed it.</param>
/// <param name="By">The step that committed it; null when it did not say.</param>
/// <param name="Target">The table that its rows went to.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="Bytes">Bytes that were sent.</param>
/// <param name="Note">What the caller wants to find again; null when nothing.</param>
internal sealed record RedshiftCommit(string Id, string? By, string Target, long Rows, long Bytes, string? Note);

/// <summary>
/// The table <c>_exporter_commits</c> beside the rows: one row a slice, which says who opened it last and what is committed of it. Redshift enforces no keys, and
/// a transaction sees what was committed when its first statement began that reads or writes
/// (https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html). LOCK is none of these, and waits for everybody who has the table
/// (https://docs.aws.amazon.com/redshift/latest/dg/r_LOCK.html); so each transaction begins with it, and sees what is true until it ends.
/// </summary>
internal sealed class RedshiftCommits(RedshiftOptions options)
{
    public const string TableName = "_exporter_commits";

    private const string Committed = "commit_id, committed_by, target, row_count, byte_count, note";

    private readonly string _table = options.InSchema(TableName);

    /// <summary>Makes the table where it is missing.</summary>
    public Task EnsureAsync(RedshiftSession session, CancellationToken cancellationToken) => RedshiftTarget.CreateAsync(session, options.SchemaName, TableName, $"""
        CREATE TABLE IF NOT EXISTS {_table} (
          export VARCHAR(4096), interval_key VARCHAR(128), interval_start TIMESTAMPTZ, interval_end TIMESTAMPTZ, slice INTEGER,
          claim_id VARCHAR(32), claimed_by VARCHAR(1024), claimed_epoch BIGINT, claimed_attempt INTEGER, claimed_at TIMESTAMP,
          commit_id VARCHAR(32), committed_by VARCHAR(1024), committed_epoch BIGINT, committed_attempt INTEGER, committed_at TIMESTAMP,
          target VARCHAR(1024), row_count BIGINT, byte_count BIGINT, note VARCHAR(65535))
        """, cancellationToken);

    /// <summary>Opens a slice: from here on nobody who opened it earlier can commit it. Waits for a commit that is under way.</summary>
    /// <exception cref="RedshiftTakenException">A newer attempt of the same step has opened it.</exception>
    public async Task<RedshiftClaim> ClaimAsync(RedshiftSession session, SliceAddress address, CancellationToken cancellationToken)
    {
        var id = Guid.CreateVersion7().ToString("N");
        var found = await session.TransactAsync(
            [
                Lock,
                new($"""
                    INSERT INTO {_table} (export, interval_key, slice, interval_start, interval_end)
                    SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM {_table} WHERE {OfSlice})
                    """, [.. Slice(address), address.Interval.Start, address.Interval.End]),
                new($"""
                    UPDATE {_table} SET claim_id = $4, claimed_by = $5, claimed_epoch = $6, claimed_attempt = $7, claimed_at = GETDATE()
                    WHERE {OfSlice} AND (claim_id IS NULL OR COALESCE(claimed_by, '') <> COALESCE($5, '') OR claimed_epoch < $6
                      OR (claimed_epoch = $6 AND claimed_attempt <= $7))
                    """, [.. Slice(address), id, address.StepKey, address.FencingToken, address.Attempt]),
                new($"SELECT claim_id, {Committed} FROM {_table} WHERE {OfSlice}", Slice(address)),
            ],
            cancellationToken).ConfigureAwait(false);
        return found is [var row] && (string?)row[0] == id ? new RedshiftClaim(id, CommitOf(row, 1)) : throw new RedshiftTakenException();
    }

    /// <summary>What the transaction that brings a slice's rows begins with. It fails, dividing by zero, when the claim is no longer the last one or has committed.</summary>
    public IEnumerable<RedshiftStatement> Begin(SliceAddress address, string claim) =>
    [
        Lock,
        new($"SELECT 1 / COUNT(*) FROM {_table} WHERE {OfSlice} AND claim_id = $4 AND (commit_id IS NULL OR commit_id <> $4)", [.. Slice(address), claim]),
    ];

    /// <summary>What that transaction ends with.</summary>
    public RedshiftStatement Commit(SliceAddress address, RedshiftCommit commit) => new($"""
        UPDATE {_table} SET commit_id = claim_id, committed_by = claimed_by, committed_epoch = claimed_epoch, committed_attempt = claimed_attempt,
          committed_at = GETDATE(), target = $4, row_count = $5, byte_count = $6, note = $7
        WHERE {OfSlice}
        """, [.. Slice(address), commit.Target, commit.Rows, commit.Bytes, commit.Note]);

    /// <summary>Who has a slice, and what is committed of it; null when it was never opened.</summary>
    public async Task<RedshiftClaim?> FindAsync(RedshiftSession session, SliceAddress address, CancellationToken cancellationToken)
    {
        var found = await session.ExecuteAsync(new($"SELECT claim_id, {Committed} FROM {_table} WHERE {OfSlice}", Slice(address)), cancellationToken).ConfigureAwait(false);
        return found is [var row, ..] ? new RedshiftClaim((string)row[0]!, CommitOf(row, 1)) : null;
    }

    /// <summary>What is committed of the slices of an interval, those without a commit too.</summary>
    public async Task<IReadOnlyDictionary<int, RedshiftCommit?>> FindAsync(RedshiftSession session, RunManifest manifest, CancellationToken cancellationToken)
    {
        var found = await session.ExecuteAsync(
            new($"SELECT slice, {Committed} FROM {_table} WHERE {OfInterval}", Interval(manifest)), cancellationToken).ConfigureAwait(false);
        return found.ToDictionary(row => Convert.ToInt32(row[0], CultureInfo.InvariantCulture), row => CommitOf(row, 1));
    }

    /// <summary>Forgets the slices of an interval that are not among these, and what they brought; who has one open can no longer commit it.</summary>
    public async Task ForgetOthersAsync(RedshiftSession session, RunManifest manifest, RedshiftTarget target, CancellationToken cancellationToken)
    {
        var kept = string.Join(", ", manifest.Slices.Select(slice => slice.Slice.ToString(CultureInfo.InvariantCulture)).DefaultIfEmpty("-1"));
        var others = $"{OfInterval} AND slice NOT IN ({kept})";
        List<RedshiftStatement> statements = [Lock];
        if (options.Provenance is { } provenance)
        {
            statements.Add(new(
                $"DELETE FROM {target.Name} WHERE {RedshiftName.Quoted(provenance)} IN (SELECT commit_id FROM {_table} WHERE {others} AND row_count > 0 AND target = $3)",
                [.. Interval(manifest), target.Text]));
        }

        statements.Add(new($"DELETE FROM {_table} WHERE {others}", Interval(manifest)));
        await session.TransactAsync(statements, cancellationToken).ConfigureAwait(false);
    }

    private const string OfInterval = "export = $1 AND interval_key = $2";

    private const string OfSlice = OfInterval + " AND slice = $3";

    private RedshiftStatement Lock => new($"LOCK TABLE {_table}");

    private static object?[] Interval(RunManifest manifest) => [manifest.Export, manifest.Interval.ToKey()];

    private static object?[] Slice(SliceAddress address) => [address.Export, address.Interval.ToKey(), address.Slice];

    private static RedshiftCommit? CommitOf(object?[] row, int at) => row[at] is not string id
        ? null
        : new RedshiftCommit(id, (string?)row[at + 1], (string)row[at + 2]!, (long)row[at + 3]!, (long)row[at + 4]!, (string?)row[at + 5]);
}
