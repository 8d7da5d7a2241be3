using System.Globalization;
using System.Text;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>A slice that is staged, for the statements that bring it.</summary>
/// <param name="Claim">Its claim.</param>
/// <param name="Commit">What it will have left.</param>
/// <param name="Stage">The table that its rows are staged in; null when it has none.</param>
internal sealed record StagedSlice(BigQueryClaim Claim, BigQueryCommit Commit, string? Stage);

/// <summary>
/// The transaction that brings rows of one slice or several from their staging tables into the target. Pure. With a version the highest one stays,
/// whichever comes first; a deleted key is remembered with its version, so that an older row does not bring it back.
/// </summary>
internal sealed class BigQueryStatements(BigQueryOptions options, BigQueryTarget target, BigQueryCommits commits, IReadOnlyList<BigQueryColumn> columns)
{
    private const string StageStart = "_exporter_stage_";
    private const string Number = "_exporter_slice";

    private readonly string _names = BigQueryName.List(columns.Select(column => column.Name));
    private readonly string? _version = options.Version is { } version ? BigQueryName.Quoted(version) : null;

    /// <summary>The name of a claim's staging table. No other claim has it.</summary>
    public static string StageOf(string claim) => StageStart + claim;

    /// <summary>The columns of a staging table.</summary>
    public IReadOnlyList<BigQueryField> StagedColumns()
    {
        var staged = columns.Select(column => new BigQueryField(column.Name, column.Type.Staged)).ToList();
        return options.IsMerge ? [.. staged, new BigQueryField(StagedBatches.RowNumber, new BigQueryType("INT64"))] : staged;
    }

    /// <summary>What has to be there before the transaction, which makes no tables.</summary>
    public BigQueryNewTable? Remembered() => !Remembers ? null : new BigQueryNewTable(
        target.RememberedName, [.. options.KeyColumns.Append(options.Version!).Select(name => Of(name)).Select(column => new BigQueryField(column.Name, column.Target))]);

    /// <summary>
    /// The transaction. Fails, and changes nothing, when a claim is no longer the last one of its slice or a staging table has not the rows that were sent.
    /// </summary>
    public string Bring(IReadOnlyList<StagedSlice> slices)
    {
        var statements = new List<string> { "BEGIN TRANSACTION" };
        statements.AddRange(commits.Commit([.. slices.Select(slice => (slice.Claim, slice.Commit))]));
        statements.AddRange(slices.Where(slice => slice.Stage is not null).Select(CheckStage));
        var before = slices.Select(slice => slice.Claim.Before).OfType<BigQueryCommit>().Where(commit => commit.Rows > 0).ToList();
        if (before.Count > 0 && options.Provenance is { } provenance)
        {
            statements.Add($"DELETE FROM {target.Name} WHERE {BigQueryName.Quoted(provenance)} IN ({string.Join(", ", before.Select(commit => $"'{commit.Id}'"))})");
        }

        var staged = slices.Where(slice => slice.Stage is not null).ToList();
        if (staged.Count > 0)
        {
            statements.AddRange(options.IsMerge ? Merge(staged) : [Insert(staged)]);
        }

        statements.Add("COMMIT TRANSACTION");
        return string.Join(";\n", statements);
    }

    private bool Remembers => options.DeleteColumn is not null && _version is not null;

    private string Keys => BigQueryName.List(options.KeyColumns);

    private string CheckStage(StagedSlice slice) => string.Create(CultureInfo.InvariantCulture, $"""
        SELECT CASE WHEN (SELECT COUNT(*) FROM {Table(slice)}) = {slice.Commit.Rows} THEN 1
          ELSE ERROR(CONCAT('{BigQueryCommits.Stop}of {slice.Commit.Rows} rows the staging table has ', CAST((SELECT COUNT(*) FROM {Table(slice)}) AS STRING))) END
        """);

    private string Insert(IReadOnlyList<StagedSlice> slices)
    {
        var values = string.Join(", ", columns.Select(Value));
        return options.Provenance is { } provenance
            ? $"INSERT INTO {target.Name} ({_names}, {BigQueryName.Quoted(provenance)}) {string.Join(" UNION ALL ", slices.Select(slice => $"SELECT {values}, '{slice.Claim.Id}' FROM {Table(slice)}"))}"
            : $"INSERT INTO {target.Name} ({_names}) {string.Join(" UNION ALL ", slices.Select(slice => $"SELECT {values} FROM {Table(slice)}"))}";
    }

    private IEnumerable<string> Merge(IReadOnlyList<StagedSlice> slices)
    {
        var newest = Newest(slices);
        if (Remembers)
        {
            yield return $"""
                MERGE INTO {RememberedTable} AS d USING (SELECT * FROM ({newest}) AS r WHERE {Gone("r")} AND r.{_version} IS NOT NULL) AS n ON {Same("d", "n")}
                WHEN MATCHED AND (d.{_version} IS NULL OR d.{_version} < n.{_version}) THEN UPDATE SET {_version} = n.{_version}
                WHEN NOT MATCHED THEN INSERT ({Keys}, {_version}) VALUES ({string.Join(", ", options.KeyColumns.Select(key => $"n.{BigQueryName.Quoted(key)}"))}, n.{_version})
                """;
        }

        var rows = Remembers ? NotDeleted(newest) : newest;
        var newer = _version is null ? "" : $" AND (t.{_version} IS NULL OR t.{_version} <= n.{_version})";
        var here = options.DeleteColumn is null ? "" : $" AND NOT {Gone("n")}";
        var merge = new StringBuilder($"MERGE INTO {target.Name} AS t USING ({rows}) AS n ON {Same("t", "n")}");
        if (options.DeleteColumn is not null)
        {
            merge.Append(CultureInfo.InvariantCulture, $" WHEN MATCHED AND {Gone("n")}{newer} THEN DELETE");
        }

        var others = columns.Where(column => !IsKey(column)).Select(column => BigQueryName.Quoted(column.Name)).ToList();
        if (others.Count > 0)
        {
            merge.Append(CultureInfo.InvariantCulture, $" WHEN MATCHED{here}{newer} THEN UPDATE SET {string.Join(", ", others.Select(name => $"{name} = n.{name}"))}");
        }

        yield return merge.Append(CultureInfo.InvariantCulture, $" WHEN NOT MATCHED{here} THEN INSERT ({_names}) VALUES ({string.Join(", ", columns.Select(column => $"n.{BigQueryName.Quoted(column.Name)}"))})").ToString();
    }

    // Of all slices' rows one for each key, as MERGE takes no two: https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement.
    private string Newest(IReadOnlyList<StagedSlice> slices)
    {
        var all = string.Join(" UNION ALL ", slices.Select((slice, at) => string.Create(
            CultureInfo.InvariantCulture, $"SELECT {_names}, {BigQueryName.Quoted(StagedBatches.RowNumber)}, {at} AS {BigQueryName.Quoted(Number)} FROM {Table(slice)}")));
        var last = $"{BigQueryName.Quoted(Number)} DESC, {BigQueryName.Quoted(StagedBatches.RowNumber)} DESC";
        var order = _version is null ? last : $"{_version} DESC NULLS LAST, {last}";
        var values = string.Join(", ", columns.Select(column => $"{Value(column)} AS {BigQueryName.Quoted(column.Name)}"));
        return $"SELECT {values} FROM (SELECT * FROM ({all}) AS s WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {Keys} ORDER BY {order}) = 1) AS q";
    }

    // Rows that are newer than their key's deletion, and deletions.
    private string NotDeleted(string newest) => $"""
        SELECT r.* FROM ({newest}) AS r LEFT JOIN (SELECT {Keys}, MAX({_version}) AS {_version} FROM {RememberedTable} GROUP BY {Keys}) AS d ON {Same("d", "r")}
        WHERE {Gone("r")} OR d.{_version} IS NULL OR r.{_version} IS NULL OR d.{_version} < r.{_version}
        """;

    private string RememberedTable => BigQueryName.Table(options, target.RememberedName);

    private string Gone(string from)
    {
        var column = Of(options.DeleteColumn!);
        var name = $"{from}.{BigQueryName.Quoted(column.Name)}";
        return column.Target.Name == "BOOL" ? $"COALESCE({name}, FALSE)" : $"COALESCE({name} <> 0, FALSE)";
    }

    // A missing value is equal to none, and an outer join needs an equality: as JSON it is a text of its own.
    private string Same(string one, string other) => string.Join(" AND ", options.KeyColumns.Select(key =>
    {
        var (left, right) = ($"{one}.{BigQueryName.Quoted(key)}", $"{other}.{BigQueryName.Quoted(key)}");
        return Of(key).IsNullable ? $"TO_JSON_STRING({left}) = TO_JSON_STRING({right})" : $"{left} = {right}";
    }));

    private BigQueryColumn Of(string name) => columns.First(column => string.Equals(column.Name, name, StringComparison.OrdinalIgnoreCase));

    private bool IsKey(BigQueryColumn column) => options.KeyColumns.Contains(column.Name, StringComparer.OrdinalIgnoreCase);

    private static string Value(BigQueryColumn column) => column.Target.FromStage(BigQueryName.Quoted(column.Name), column.Type);

    private string Table(StagedSlice slice) => BigQueryName.Table(options, slice.Stage!);
}
