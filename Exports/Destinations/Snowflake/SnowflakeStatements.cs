using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// The statements that bring rows from a staging table into the target. Pure. With a version the highest one stays, whichever comes first; a
/// deleted key is remembered with its version, so that an older row does not bring it back.
/// </summary>
internal sealed class SnowflakeStatements(SnowflakeOptions options, SnowflakeTarget target, IReadOnlyList<SnowflakeColumn> columns, string stage)
{
    private const string StageStart = "_EXPORTER_STAGE_";

    private readonly string _names = SnowflakeName.List(columns.Select(column => column.Name));
    private readonly string? _version = options.VersionName is { } version ? SnowflakeName.Quoted(version) : null;

    /// <summary>The name of a claim's staging table. No other claim has it.</summary>
    public static string StageOf(string export, DataInterval interval, string claim) => StagesOf(export, interval) + claim.ToUpperInvariant();

    /// <summary>What the names of an interval's staging tables begin with.</summary>
    public static string StagesOf(string export, DataInterval interval) =>
        StageStart + Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes($"{export}\n{interval.ToKey()}")))[..16] + "_";

    /// <summary>Makes the table that rows are staged in: no key, no default, not kept by Time Travel.</summary>
    public string CreateStage()
    {
        var staged = columns.Select(column => $"{SnowflakeName.Quoted(column.Name)} {column.Type.StagedSql}");
        staged = options.IsMerge ? staged.Append($"{SnowflakeName.Quoted(StagedColumns.RowNumber)} NUMBER(38,0)") : staged;
        return $"CREATE TRANSIENT TABLE IF NOT EXISTS {stage} ({string.Join(", ", staged)}) DATA_RETENTION_TIME_IN_DAYS = 0";
    }

    /// <summary>Fails when there are more or fewer rows than were staged.</summary>
    public string CheckStage(long rows) => string.Create(CultureInfo.InvariantCulture, $"""
        SELECT CAST((SELECT IFF(COUNT(*) = {rows}, '1', '{SnowflakeCommits.Stop}of {rows} rows the staging table has ' || CAST(COUNT(*) AS VARCHAR)) FROM {stage}) AS INTEGER)
        """);

    /// <summary>Removes what an earlier commit of the slice brought, if that can be told.</summary>
    public string? Remove(SnowflakeCommit? before) => before is { Rows: > 0 } && before.Target == target.Text && options.Provenance is { } provenance
        ? $"DELETE FROM {target.Name} WHERE {SnowflakeName.Quoted(provenance)} = {SnowflakeName.Literal(before.Id)}"
        : null;

    /// <summary>What has to be there before the transaction; DDL would end it.</summary>
    public string? CreateRemembered()
    {
        if (options.DeleteName is null || _version is null)
        {
            return null;
        }

        var kept = columns.Where(column => options.KeyColumns.Contains(column.Name) || column.Name == options.VersionName);
        return $"CREATE TABLE IF NOT EXISTS {Remembered} ({string.Join(", ", kept.Select(column => $"{SnowflakeName.Quoted(column.Name)} {column.Target.Sql}"))})";
    }

    /// <summary>In their order, in one transaction.</summary>
    public IEnumerable<string> Bring(string claim)
    {
        if (!options.IsMerge)
        {
            var (into, values) = options.Provenance is { } provenance
                ? ($"{_names}, {SnowflakeName.Quoted(provenance)}", $"{Values}, '{claim}'")
                : (_names, Values);
            yield return $"INSERT INTO {target.Name} ({into}) SELECT {values} FROM {stage}";
            yield break;
        }

        if (CreateRemembered() is not null)
        {
            yield return $"""
                MERGE INTO {Remembered} AS d USING (SELECT * FROM ({Newest}) AS r WHERE {Gone("r")} AND r.{_version} IS NOT NULL) AS n ON {Same("d", "n")}
                WHEN MATCHED AND (d.{_version} IS NULL OR d.{_version} < n.{_version}) THEN UPDATE SET {_version} = n.{_version}
                WHEN NOT MATCHED THEN INSERT ({Keys}, {_version}) VALUES ({KeysOf("n")}, n.{_version})
                """;
        }

        yield return Merge();
    }

    private string Keys => SnowflakeName.List(options.KeyColumns);

    private string Values => string.Join(", ", columns.Select(column => column.Target.FromStage(SnowflakeName.Quoted(column.Name), column.Type)));

    private string Newest
    {
        get
        {
            var values = string.Join(", ", columns.Select(column => $"{column.Target.FromStage(SnowflakeName.Quoted(column.Name), column.Type)} AS {SnowflakeName.Quoted(column.Name)}"));
            var last = $"{SnowflakeName.Quoted(StagedColumns.RowNumber)} DESC";
            var order = _version is null ? last : $"{_version} DESC NULLS LAST, {last}";
            return $"SELECT {values} FROM (SELECT * FROM {stage} QUALIFY ROW_NUMBER() OVER (PARTITION BY {Keys} ORDER BY {order}) = 1) AS q";
        }
    }

    private string Remembered
    {
        get
        {
            var name = "_EXPORTER_DELETED_" + target.TableName;
            return options.InSchema(name.Length > SnowflakeName.Longest
                ? "_EXPORTER_DELETED_" + Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(target.TableName)))[..32]
                : name);
        }
    }

    private string Merge()
    {
        var rows = CreateRemembered() is null ? Newest : NotDeleted();
        var newer = _version is null ? "" : $" AND (t.{_version} IS NULL OR t.{_version} <= n.{_version})";
        var here = options.DeleteName is null ? "" : $" AND NOT {Gone("n")}";
        var merge = new StringBuilder($"MERGE INTO {target.Name} AS t USING ({rows}) AS n ON {Same("t", "n")}");
        if (options.DeleteName is not null)
        {
            merge.Append(CultureInfo.InvariantCulture, $" WHEN MATCHED AND {Gone("n")}{newer} THEN DELETE");
        }

        var others = columns.Where(column => !options.KeyColumns.Contains(column.Name)).Select(column => SnowflakeName.Quoted(column.Name)).ToList();
        if (others.Count > 0)
        {
            merge.Append(CultureInfo.InvariantCulture, $" WHEN MATCHED{here}{newer} THEN UPDATE SET {string.Join(", ", others.Select(name => $"{name} = n.{name}"))}");
        }

        return merge.Append(CultureInfo.InvariantCulture, $" WHEN NOT MATCHED{here} THEN INSERT ({_names}) VALUES ({string.Join(", ", columns.Select(column => $"n.{SnowflakeName.Quoted(column.Name)}"))})").ToString();
    }

    // Rows that are newer than their key's deletion, and deletions. Joined: Snowflake evaluates few subqueries that look at the row outside.
    private string NotDeleted() => $"""
        SELECT r.* FROM ({Newest}) AS r LEFT JOIN (SELECT {Keys}, MAX({_version}) AS {_version} FROM {Remembered} GROUP BY {Keys}) AS d ON {Same("d", "r")}
        WHERE {Gone("r")} OR d.{_version} IS NULL OR r.{_version} IS NULL OR d.{_version} < r.{_version}
        """;

    private string Gone(string from)
    {
        var column = columns.First(column => column.Name == options.DeleteName);
        var name = $"{from}.{SnowflakeName.Quoted(column.Name)}";
        return column.Target.Name switch
        {
            "BOOLEAN" => $"COALESCE({name}, FALSE)",
            "NUMBER" => $"COALESCE({name} <> 0, FALSE)",
            _ => throw new UserErrorException(
                SnowflakeOptions.DeleteSetting, $"Column \"{column.Name}\" is of type {column.Target}.", "Name a boolean column, or one with whole numbers."),
        };
    }

    private string KeysOf(string from) => string.Join(", ", options.KeyColumns.Select(key => $"{from}.{SnowflakeName.Quoted(key)}"));

    // Keys are not enforced, and a missing value is equal to none: where there may be some, rows with it would be added again and again.
    private string Same(string one, string other) => string.Join(" AND ", options.KeyColumns.Select(key =>
    {
        var equals = columns.First(column => column.Name == key).IsNullable ? "IS NOT DISTINCT FROM" : "=";
        return $"{one}.{SnowflakeName.Quoted(key)} {equals} {other}.{SnowflakeName.Quoted(key)}";
    }));
}
