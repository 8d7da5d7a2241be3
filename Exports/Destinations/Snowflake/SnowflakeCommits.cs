using System.Globalization;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>What a slice was opened with.</summary>
/// <param name="Id">The claim's name; its file, its staging table and its rows carry it.</param>
/// <param name="Before">What is committed of the slice; null when nothing is.</param>
internal sealed record SnowflakeClaim(string Id, SnowflakeCommit? Before);

/// <summary>What a slice left.</summary>
/// <param name="Id">The claim that committed it.</param>
/// <param name="By">The step that committed it; null when it did not say.</param>
/// <param name="Target">The table that its rows went to.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="Bytes">Bytes of its staged file.</param>
/// <param name="Note">What the caller wants to find again; null when nothing.</param>
internal sealed record SnowflakeCommit(string Id, string? By, string Target, long Rows, long Bytes, string? Note);

/// <summary>An older attempt has lost its slice to a newer one; nothing of it was written.</summary>
internal sealed class SnowflakeTakenException() : Exception("Another attempt has opened this slice.");

/// <summary>
/// The table <c>_EXPORTER_COMMITS</c> beside the rows: one row a slice, which says who opened it last and what is committed of it. The
/// statements are such that a request which is executed twice, late, or beside another changes nothing the second time:
/// <list type="bullet">
/// <item>Snowflake enforces no keys and reads what is committed when a statement begins (https://docs.snowflake.com/en/sql-reference/transactions).
/// So every change first updates the row for nothing, which waits for everybody who has it and keeps others away; the statement behind it
/// sees what is true.</item>
/// <item>A commit counts only for the transaction that did it: the last statement before COMMIT fails in any other, and takes its rows
/// with it.</item>
/// <item>Two first claims at the same moment may leave two rows of a slice; each later change is of both, and a commit
/// that does not hold both fails.</item>
/// </list>
/// </summary>
internal sealed class SnowflakeCommits(SnowflakeOptions options)
{
    public const string TableName = "_EXPORTER_COMMITS";

    /// <summary>Begins what a statement says that must not go on: Snowflake repeats it in its error.</summary>
    public const string Stop = "exporter: ";

    private readonly string _table = options.InSchema(TableName);

    /// <summary>Makes the table where it is missing.</summary>
    public async Task EnsureAsync(ISnowflakeClient client, CancellationToken cancellationToken)
    {
        try
        {
            await client.ExecuteAsync($"DESCRIBE TABLE {_table}", cancellationToken).ConfigureAwait(false);
        }
        catch (SnowflakeException error) when (SnowflakeErrors.IsMissingTable(error))
        {
            await client.ExecuteAsync($"""
                CREATE TABLE IF NOT EXISTS {_table} (
                  "EXPORT" VARCHAR, "INTERVAL_KEY" VARCHAR, "INTERVAL_START" TIMESTAMP_LTZ(6), "INTERVAL_END" TIMESTAMP_LTZ(6), "SLICE" NUMBER(38,0),
                  "CLAIM_ID" VARCHAR, "CLAIMED_BY" VARCHAR, "CLAIMED_EPOCH" NUMBER(38,0), "CLAIMED_ATTEMPT" NUMBER(38,0), "CLAIMED_AT" TIMESTAMP_LTZ(6),
                  "COMMIT_ID" VARCHAR, "COMMITTED_BY" VARCHAR, "COMMITTED_EPOCH" NUMBER(38,0), "COMMITTED_ATTEMPT" NUMBER(38,0),
                  "COMMITTED_AT" TIMESTAMP_LTZ(6), "COMMITTED_IN" VARCHAR, "TARGET" VARCHAR, "ROW_COUNT" NUMBER(38,0), "BYTE_COUNT" NUMBER(38,0),
                  "NOTE" VARCHAR, "LOCKED_BY" VARCHAR)
                """, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Opens a slice: from here on nobody who opened it earlier can commit it. Waits for a commit of it that is under way.</summary>
    /// <exception cref="SnowflakeTakenException">A newer attempt of the same step has opened it.</exception>
    public async Task<SnowflakeClaim> ClaimAsync(ISnowflakeClient client, SliceAddress address, CancellationToken cancellationToken)
    {
        var id = Guid.CreateVersion7().ToString("N");
        var (slice, by) = (Slice(address), SnowflakeName.Literal(address.StepKey));
        var interval = string.Create(
            CultureInfo.InvariantCulture, $"CAST('{address.Interval.Start.UtcDateTime:yyyy-MM-ddTHH:mm:ss.ffffff}+00:00' AS TIMESTAMP_LTZ(6)), CAST('{address.Interval.End.UtcDateTime:yyyy-MM-ddTHH:mm:ss.ffffff}+00:00' AS TIMESTAMP_LTZ(6))");
        var found = await client.ExecuteAllAsync(
            [
                "BEGIN TRANSACTION",
                string.Create(CultureInfo.InvariantCulture, $"""
                    INSERT INTO {_table} ("EXPORT", "INTERVAL_KEY", "INTERVAL_START", "INTERVAL_END", "SLICE")
                    SELECT {SnowflakeName.Literal(address.Export)}, {SnowflakeName.Literal(address.Interval.ToKey())}, {interval}, {address.Slice}
                    FROM (SELECT 1 AS "ONE") AS one WHERE NOT EXISTS (SELECT 1 FROM {_table} WHERE {slice})
                    """),
                Lock(slice, id),
                string.Create(CultureInfo.InvariantCulture, $"""
                    UPDATE {_table} SET "CLAIM_ID" = '{id}', "CLAIMED_BY" = {by}, "CLAIMED_EPOCH" = {address.FencingToken}, "CLAIMED_ATTEMPT" = {address.Attempt},
                      "CLAIMED_AT" = CURRENT_TIMESTAMP
                    WHERE {slice} AND ("CLAIM_ID" IS NULL OR "CLAIMED_BY" IS DISTINCT FROM {by} OR "CLAIMED_EPOCH" < {address.FencingToken}
                      OR ("CLAIMED_EPOCH" = {address.FencingToken} AND "CLAIMED_ATTEMPT" <= {address.Attempt}))
                    """),
                $"SELECT \"CLAIM_ID\", {Committed} FROM {_table} WHERE {slice} ORDER BY \"COMMIT_ID\" DESC NULLS LAST LIMIT 1",
                "COMMIT",
            ],
            answer: 4,
            cancellationToken).ConfigureAwait(false);
        return found.Rows.Count == 1 && found.Value(0, "CLAIM_ID") == id ? new SnowflakeClaim(id, CommitOf(found, 0)) : throw new SnowflakeTakenException();
    }

    /// <summary>The statements before COMMIT in the transaction that brings a slice's rows. They fail when the claim is no longer the last one.</summary>
    public IEnumerable<string> Commit(SliceAddress address, SnowflakeCommit commit)
    {
        var slice = Slice(address);
        yield return Lock(slice, commit.Id);
        yield return string.Create(CultureInfo.InvariantCulture, $"""
            UPDATE {_table} SET "COMMIT_ID" = "CLAIM_ID", "COMMITTED_BY" = "CLAIMED_BY", "COMMITTED_EPOCH" = "CLAIMED_EPOCH", "COMMITTED_ATTEMPT" = "CLAIMED_ATTEMPT",
              "COMMITTED_AT" = CURRENT_TIMESTAMP, "COMMITTED_IN" = CURRENT_TRANSACTION(), "TARGET" = {SnowflakeName.Literal(commit.Target)},
              "ROW_COUNT" = {commit.Rows}, "BYTE_COUNT" = {commit.Bytes}, "NOTE" = {SnowflakeName.Literal(commit.Note)}
            WHERE {slice} AND "CLAIM_ID" = '{commit.Id}' AND "COMMIT_ID" IS DISTINCT FROM '{commit.Id}'
            """);
        yield return $"""
            SELECT CAST((SELECT IFF(MIN(IFF("COMMIT_ID" = '{commit.Id}' AND "COMMITTED_IN" = CURRENT_TRANSACTION(), 1, 0)) = 1, '1',
              '{Stop}another attempt has opened slice ' || COALESCE(CAST(MAX("SLICE") AS VARCHAR), '')) FROM {_table} WHERE {slice}) AS INTEGER)
            """;
    }

    /// <summary>What is committed of one slice; null when nothing is.</summary>
    public async Task<SnowflakeCommit?> FindAsync(ISnowflakeClient client, SliceAddress address, CancellationToken cancellationToken)
    {
        var found = await client.ExecuteAsync(
            $"SELECT {Committed} FROM {_table} WHERE {Slice(address)} ORDER BY \"COMMIT_ID\" DESC NULLS LAST LIMIT 1", cancellationToken).ConfigureAwait(false);
        return found.Rows.Count == 0 ? null : CommitOf(found, 0);
    }

    /// <summary>What is committed of the slices of an interval, those without a commit too.</summary>
    public async Task<IReadOnlyDictionary<int, SnowflakeCommit?>> FindAsync(ISnowflakeClient client, RunManifest manifest, CancellationToken cancellationToken)
    {
        var found = await client.ExecuteAsync($"SELECT \"SLICE\", {Committed} FROM {_table} WHERE {Interval(manifest)} ORDER BY \"SLICE\"", cancellationToken).ConfigureAwait(false);
        var slices = new Dictionary<int, SnowflakeCommit?>();
        for (var row = 0; row < found.Rows.Count; row++)
        {
            var slice = int.Parse(found.Value(row, "SLICE")!, CultureInfo.InvariantCulture);
            slices[slice] = CommitOf(found, row) ?? slices.GetValueOrDefault(slice);
        }

        return slices;
    }

    /// <summary>Forgets the slices of an interval that are not among these, and what they brought; who has one open can no longer commit it.</summary>
    public async Task ForgetOthersAsync(ISnowflakeClient client, RunManifest manifest, SnowflakeTarget target, CancellationToken cancellationToken)
    {
        var kept = string.Join(", ", manifest.Slices.Select(slice => slice.Slice.ToString(CultureInfo.InvariantCulture)).DefaultIfEmpty("-1"));
        var others = $"{Interval(manifest)} AND \"SLICE\" NOT IN ({kept})";
        var statements = new List<string> { "BEGIN TRANSACTION", Lock(others, manifest.RunId.ToString("N")) };
        if (options.Provenance is { } provenance)
        {
            statements.Add($"DELETE FROM {target.Name} WHERE {SnowflakeName.Quoted(provenance)} IN (SELECT \"COMMIT_ID\" FROM {_table} WHERE {others} AND \"ROW_COUNT\" > 0 AND \"TARGET\" = {SnowflakeName.Literal(target.Text)})");
        }

        statements.AddRange([$"DELETE FROM {_table} WHERE {others}", "COMMIT"]);
        await client.ExecuteAllAsync(statements, statements.Count - 1, cancellationToken).ConfigureAwait(false);
    }

    private const string Committed = "\"COMMIT_ID\", \"COMMITTED_BY\", \"TARGET\", \"ROW_COUNT\", \"BYTE_COUNT\", \"NOTE\"";

    private string Lock(string rows, string by) => $"UPDATE {_table} SET \"LOCKED_BY\" = '{by}' WHERE {rows}";

    private static string Interval(RunManifest manifest) =>
        $"\"EXPORT\" = {SnowflakeName.Literal(manifest.Export)} AND \"INTERVAL_KEY\" = {SnowflakeName.Literal(manifest.Interval.ToKey())}";

    private static string Slice(SliceAddress address) => string.Create(
        CultureInfo.InvariantCulture,
        $"\"EXPORT\" = {SnowflakeName.Literal(address.Export)} AND \"INTERVAL_KEY\" = {SnowflakeName.Literal(address.Interval.ToKey())} AND \"SLICE\" = {address.Slice}");

    private static SnowflakeCommit? CommitOf(SnowflakeResult found, int row) => found.Value(row, "COMMIT_ID") is not { } id
        ? null
        : new SnowflakeCommit(
            id,
            found.Value(row, "COMMITTED_BY"),
            found.Value(row, "TARGET")!,
            long.Parse(found.Value(row, "ROW_COUNT")!, CultureInfo.InvariantCulture),
            long.Parse(found.Value(row, "BYTE_COUNT")!, CultureInfo.InvariantCulture),
            found.Value(row, "NOTE"));
}
