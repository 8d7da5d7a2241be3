using System.Globalization;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>What a slice was opened with.</summary>
/// <param name="Id">The claim's name; its jobs, its staging table and its rows carry it.</param>
/// <param name="Before">What is committed of the slice; null when nothing is.</param>
internal sealed record BigQueryClaim(string Id, BigQueryCommit? Before);

/// <summary>What a slice left.</summary>
/// <param name="Id">The claim that committed it.</param>
/// <param name="By">The step that committed it; null when it did not say.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="Bytes">Bytes of its file.</param>
/// <param name="Note">What the caller wants to find again; null when nothing.</param>
internal sealed record BigQueryCommit(string Id, string? By, long Rows, long Bytes, string? Note);

/// <summary>A claim as the table has it.</summary>
internal sealed record BigQueryClaimRow(int Slice, string Id, BigQueryCommit? Commit);

/// <summary>An older attempt has lost its slice to a newer one; nothing of it was written.</summary>
internal sealed class BigQueryTakenException() : Exception("Another attempt has opened this slice.");

/// <summary>
/// The table <c>_exporter_commits_TABLE</c> beside a table: a row for each time that a slice was opened, which becomes its commit.
/// <list type="bullet">
/// <item>To open a slice is to add a row, which waits for nobody (https://cloud.google.com/bigquery/docs/transactions#transaction_concurrency): tables
/// of BigQuery are locked as a whole, and only by what changes rows.</item>
/// <item>To commit is to change that row, in the transaction that brings the rows. Of two transactions that change one table at once BigQuery
/// cancels one, so commits come one after another, and each sees all that were before it.</item>
/// <item>A commit is refused when a newer claim of its slice is there, when its own is not, or when another was committed since it was opened. If it
/// goes through all the same, since the newer claim came while it was under way, that one replaces it, or starts again.</item>
/// </list>
/// </summary>
internal sealed class BigQueryCommits(BigQueryOptions options, string table)
{
    /// <summary>Begins what a statement says that must not go on.</summary>
    public const string Stop = "exporter: ";

    // Which of two claims of a slice is the newer one: of one step the higher epoch and attempt, else the later one.
    private const string Newer = """
        CASE WHEN COALESCE(o.`claimed_by`, '') = COALESCE(m.`claimed_by`, '') AND (o.`claimed_epoch` <> m.`claimed_epoch` OR o.`claimed_attempt` <> m.`claimed_attempt`)
          THEN o.`claimed_epoch` > m.`claimed_epoch` OR (o.`claimed_epoch` = m.`claimed_epoch` AND o.`claimed_attempt` > m.`claimed_attempt`)
          ELSE o.`claimed_at` > m.`claimed_at` OR (o.`claimed_at` = m.`claimed_at` AND o.`claim_id` > m.`claim_id`) END
        """;

    private const string Of = "o.`export` = m.`export` AND o.`interval_key` = m.`interval_key` AND o.`slice` = m.`slice` AND o.`claim_id` <> m.`claim_id`";
    private const string Committed = "`claimed_by`, `row_count`, `byte_count`, `note`, `committed_at`";

    private readonly string _table = BigQueryName.Table(options, NameOf(table));

    /// <summary>The table's name in SQL.</summary>
    public string Name => _table;

    public static string NameOf(string table) => "_exporter_commits_" + table;

    /// <summary>A name that no other claim has; the older ones come first.</summary>
    public static string NewClaim() => Guid.CreateVersion7().ToString("N");

    /// <summary>Begins the names of a slice's jobs: who looks at the project's jobs sees what they are for.</summary>
    public static string JobOf(SliceAddress address, string claim) => string.Create(
        CultureInfo.InvariantCulture, $"exporter_{BigQueryName.Hash($"{address.Export}\n{address.Interval.ToKey()}")}_{address.Slice}_{claim}");

    /// <summary>Makes the table where it is missing.</summary>
    public Task EnsureAsync(IBigQueryClient client, CancellationToken cancellationToken)
    {
        var (text, number, instant) = (new BigQueryType("STRING"), new BigQueryType("INT64"), new BigQueryType("TIMESTAMP"));
        return client.CreateAsync(
            new BigQueryNewTable(
                NameOf(table),
                [
                    new("export", text), new("interval_key", text), new("interval_start", instant), new("interval_end", instant), new("slice", number),
                    new("claim_id", text), new("claimed_by", text), new("claimed_epoch", number), new("claimed_attempt", number), new("claimed_at", instant),
                    new("committed_at", instant), new("row_count", number), new("byte_count", number), new("note", text),
                ]),
            cancellationToken);
    }

    /// <summary>Opens a slice: from here on nobody who opened it earlier can commit it.</summary>
    /// <exception cref="BigQueryTakenException">A newer attempt of the same step has opened it.</exception>
    public async Task<BigQueryClaim> ClaimAsync(IBigQueryClient client, SliceAddress address, CancellationToken cancellationToken)
    {
        var id = NewClaim();
        var slice = Slice(address);
        var by = address.StepKey is { } step ? $"`claimed_by` = {BigQueryName.Literal(step)}" : "`claimed_by` IS NULL";
        var found = await client.QueryAsync(
            JobOf(address, id) + "_claim",
            string.Create(CultureInfo.InvariantCulture, $"""
                INSERT INTO {_table} (`export`, `interval_key`, `interval_start`, `interval_end`, `slice`, `claim_id`, {(address.StepKey is null ? "" : "`claimed_by`, ")}`claimed_epoch`, `claimed_attempt`, `claimed_at`)
                SELECT {BigQueryName.Literal(address.Export)}, {BigQueryName.Literal(address.Interval.ToKey())}, {Instant(address.Interval.Start)}, {Instant(address.Interval.End)}, {address.Slice},
                  '{id}', {(address.StepKey is null ? "" : BigQueryName.Literal(address.StepKey) + ", ")}{address.FencingToken}, {address.Attempt}, CURRENT_TIMESTAMP()
                FROM (SELECT 1 AS one) AS one
                WHERE NOT EXISTS (SELECT 1 FROM {_table} WHERE `claim_id` = '{id}' OR ({slice} AND {by}
                  AND (`claimed_epoch` > {address.FencingToken} OR (`claimed_epoch` = {address.FencingToken} AND `claimed_attempt` > {address.Attempt}))));
                SELECT `slice`, `claim_id`, {Committed} FROM {_table} WHERE {slice} AND (`claim_id` = '{id}' OR `committed_at` IS NOT NULL) ORDER BY `claim_id` DESC
                """),
            cancellationToken).ConfigureAwait(false);
        var rows = Rows(found);
        return rows.Any(row => row.Id == id) ? new BigQueryClaim(id, rows.FirstOrDefault(row => row.Commit is not null)?.Commit) : throw new BigQueryTakenException();
    }

    /// <summary>
    /// Of the transaction that brings the rows of slices: fails when a claim is no longer the last one of its slice, and writes their commits.
    /// </summary>
    public IEnumerable<string> Commit(IReadOnlyList<(BigQueryClaim Claim, BigQueryCommit Commit)> slices)
    {
        var ids = string.Join(", ", slices.Select(slice => $"'{slice.Claim.Id}'"));
        var before = slices.Select(slice => slice.Claim.Before?.Id).OfType<string>().ToList();
        yield return string.Create(CultureInfo.InvariantCulture, $"""
            SELECT CASE WHEN (SELECT COUNT(*) FROM {_table} WHERE `claim_id` IN ({ids}) AND `committed_at` IS NULL) = {slices.Count}
              AND (SELECT COUNT(*) FROM {_table} AS m JOIN {_table} AS o ON {Of} WHERE m.`claim_id` IN ({ids}) AND {Newer}) = 0
              AND (SELECT COUNT(*) FROM {_table} AS m JOIN {_table} AS o ON {Of} WHERE m.`claim_id` IN ({ids}) AND o.`committed_at` IS NOT NULL{(before.Count == 0 ? "" : $" AND o.`claim_id` NOT IN ({Ids(before)})")}) = 0
              THEN 1 ELSE ERROR('{Stop}another attempt has opened a slice') END
            """);
        yield return $"""
            UPDATE {_table} SET `committed_at` = CURRENT_TIMESTAMP(), `row_count` = {Cases(slices, commit => commit.Rows.ToString(CultureInfo.InvariantCulture))},
              `byte_count` = {Cases(slices, commit => commit.Bytes.ToString(CultureInfo.InvariantCulture))}, `note` = CAST({Cases(slices, commit => BigQueryName.Literal(commit.Note))} AS STRING)
            WHERE `claim_id` IN ({ids})
            """;
        if (before.Count > 0)
        {
            yield return $"DELETE FROM {_table} WHERE `claim_id` IN ({Ids(before)})";
        }
    }

    /// <summary>Which of some claims are committed.</summary>
    public async Task<IReadOnlySet<string>> FindAsync(IBigQueryClient client, IEnumerable<string> claims, CancellationToken cancellationToken)
    {
        var found = await client.QueryAsync(
            $"exporter_look_{NewClaim()}", $"SELECT `claim_id` FROM {_table} WHERE `claim_id` IN ({Ids(claims)}) AND `committed_at` IS NOT NULL", cancellationToken).ConfigureAwait(false);
        return found.Rows.Select(row => row[0]!).ToHashSet();
    }

    /// <summary>Every claim of an interval, those that were never committed too.</summary>
    public async Task<IReadOnlyList<BigQueryClaimRow>> FindAsync(IBigQueryClient client, RunManifest manifest, CancellationToken cancellationToken) => Rows(await client.QueryAsync(
        $"exporter_look_{NewClaim()}", $"SELECT `slice`, `claim_id`, {Committed} FROM {_table} WHERE {Interval(manifest)} ORDER BY `slice`, `claim_id`", cancellationToken).ConfigureAwait(false));

    /// <summary>Forgets claims, and what they brought; who has such a slice open can no longer commit it.</summary>
    public async Task ForgetAsync(IBigQueryClient client, RunManifest manifest, IReadOnlyList<BigQueryClaimRow> claims, BigQueryTarget target, CancellationToken cancellationToken)
    {
        var brought = claims.Where(claim => claim.Commit is { Rows: > 0 }).Select(claim => claim.Id).ToList();
        var statements = new List<string> { "BEGIN TRANSACTION" };
        if (brought.Count > 0 && options.Provenance is { } provenance)
        {
            statements.Add($"DELETE FROM {target.Name} WHERE {BigQueryName.Quoted(provenance)} IN ({Ids(brought)})");
        }

        statements.AddRange([$"DELETE FROM {_table} WHERE `claim_id` IN ({Ids(claims.Select(claim => claim.Id))})", "COMMIT TRANSACTION"]);
        await client.QueryAsync($"exporter_finish_{manifest.RunId:N}_{NewClaim()}", string.Join(";\n", statements), cancellationToken).ConfigureAwait(false);
    }

    private static string Ids(IEnumerable<string> ids) => string.Join(", ", ids.Select(id => $"'{id}'"));

    private static string Cases(IReadOnlyList<(BigQueryClaim Claim, BigQueryCommit Commit)> slices, Func<BigQueryCommit, string> value) =>
        $"CASE `claim_id` {string.Join(' ', slices.Select(slice => $"WHEN '{slice.Claim.Id}' THEN {value(slice.Commit)}"))} END";

    private static string Instant(DateTimeOffset instant) => string.Create(CultureInfo.InvariantCulture, $"TIMESTAMP '{instant.UtcDateTime:yyyy-MM-dd HH:mm:ss.ffffff}+00:00'");

    private static string Interval(RunManifest manifest) =>
        $"`export` = {BigQueryName.Literal(manifest.Export)} AND `interval_key` = {BigQueryName.Literal(manifest.Interval.ToKey())}";

    private static string Slice(SliceAddress address) => string.Create(
        CultureInfo.InvariantCulture,
        $"`export` = {BigQueryName.Literal(address.Export)} AND `interval_key` = {BigQueryName.Literal(address.Interval.ToKey())} AND `slice` = {address.Slice}");

    private static List<BigQueryClaimRow> Rows(BigQueryResult found) =>
    [
        .. Enumerable.Range(0, found.Rows.Count).Select(row => new BigQueryClaimRow(
            int.Parse(found.Value(row, "slice")!, CultureInfo.InvariantCulture),
            found.Value(row, "claim_id")!,
            found.Value(row, "committed_at") is null ? null : new BigQueryCommit(
                found.Value(row, "claim_id")!,
                found.Value(row, "claimed_by"),
                long.Parse(found.Value(row, "row_count")!, CultureInfo.InvariantCulture),
                long.Parse(found.Value(row, "byte_count")!, CultureInfo.InvariantCulture),
                found.Value(row, "note")))),
    ];
}
