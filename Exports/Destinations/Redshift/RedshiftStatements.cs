using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// The statements that load rows and bring them from a staging table into the target. Pure. With a version the highest one stays, whichever comes first; a
/// deleted key is remembered with its version, so that an older row does not bring it back. MERGE
/// (https://docs.aws.amazon.com/redshift/latest/dg/r_MERGE.html) knows no condition besides the key's and one action for rows that are there, so that rows are updated, deleted and
/// inserted one after the other, as https://docs.aws.amazon.com/redshift/latest/dg/merge-specify-a-column-list.html has it.
/// </summary>
internal sealed class RedshiftStatements(RedshiftOptions options, RedshiftTarget target, IReadOnlyList<RedshiftColumn> columns, string claim)
{
    private const string There = "\"_exporter_there\"";

    private readonly string _names = RedshiftName.List(columns.Select(column => column.Name));
    private readonly string _stage = RedshiftName.Quoted("_exporter_stage_" + claim);
    private readonly string _newest = RedshiftName.Quoted("_exporter_newest_" + claim);
    private readonly string? _version = options.VersionName is { } version ? RedshiftName.Quoted(version) : null;

    /// <summary>The temporary tables, which are the session's own and end with it.</summary>
    public IEnumerable<string> Temporary => options.IsMerge ? [_stage, _newest] : [_stage];

    /// <summary>Whether COPY may load into the target itself.</summary>
    public bool IsDirect => options.IsCopy && !options.IsMerge && columns.All(column => column.IsDirect);

    /// <summary>Makes the table that rows are staged in: no key, no default.</summary>
    public RedshiftStatement CreateStage()
    {
        var staged = columns.Select(column => $"{RedshiftName.Quoted(column.Name)} {Staged(column).Sql}");
        staged = options.IsMerge ? staged.Append($"{RedshiftName.Quoted(RedshiftColumns.RowNumber)} BIGINT") : staged;
        return new($"CREATE TEMPORARY TABLE {_stage} ({string.Join(", ", staged)})");
    }

    /// <summary>
    /// Loads the files of a manifest, into the target itself or into the staging table: https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-columnar.html.
    /// Columns are found by their place. Has keys in it where there is no role.
    /// </summary>
    public RedshiftStatement Copy(string manifest)
    {
        var names = columns.Select(column => column.Name);
        if (IsDirect && options.Provenance is { } provenance)
        {
            names = names.Append(provenance);
        }
        else if (options.IsMerge)
        {
            names = names.Append(RedshiftColumns.RowNumber);
        }

        return new($"COPY {(IsDirect ? target.Name : _stage)} ({RedshiftName.List(names)}) FROM {RedshiftName.Literal(manifest)} {options.Authorization()} MANIFEST FORMAT AS PARQUET");
    }

    /// <summary>Inserts rows into the staging table: https://docs.aws.amazon.com/redshift/latest/dg/c_best-practices-multi-row-inserts.html.</summary>
    /// <param name="rows">What stands for each row's values.</param>
    public string Insert(IEnumerable<string> rows)
    {
        var names = options.IsMerge ? $"{_names}, {RedshiftName.Quoted(RedshiftColumns.RowNumber)}" : _names;
        return $"INSERT INTO {_stage} ({names}) VALUES {string.Join(", ", rows)}";
    }

    /// <summary>Counts what is staged.</summary>
    public RedshiftStatement CountStage() => new($"SELECT COUNT(*) FROM {_stage}");

    /// <summary>Fails, dividing by zero, when the session's last COPY did not load so many rows.</summary>
    public static RedshiftStatement CheckCopied(long rows) =>
        new(string.Create(CultureInfo.InvariantCulture, $"SELECT 1 / CASE WHEN PG_LAST_COPY_COUNT() = {rows} THEN 1 ELSE 0 END"));

    /// <summary>Removes what an earlier commit of the slice brought, if that can be told.</summary>
    public RedshiftStatement? Remove(RedshiftCommit? before) => before is { Rows: > 0 } && before.Target == target.Text && options.Provenance is { } provenance
        ? new($"DELETE FROM {target.Name} WHERE {RedshiftName.Quoted(provenance)} = $1", before.Id)
        : null;

    /// <summary>The table that remembers deleted keys: its name, and how it is made; null when none is needed.</summary>
    public (string Name, string Create)? Remembered()
    {
        if (options.DeleteName is null || _version is null)
        {
            return null;
        }

        var kept = columns.Where(column => options.KeyColumns.Contains(column.Name) || column.Name == options.VersionName);
        return (RememberedName, $"CREATE TABLE IF NOT EXISTS {RememberedTable} ({string.Join(", ", kept.Select(column => $"{RedshiftName.Quoted(column.Name)} {column.Target.Sql}"))})");
    }

    /// <summary>For a merge, once rows are staged and before the transaction: of each key the newest row.</summary>
    public RedshiftStatement? CreateNewest()
    {
        if (!options.IsMerge)
        {
            return null;
        }

        // A NULLS clause is not to be had in window functions: https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html
        var last = $"{RedshiftName.Quoted(RedshiftColumns.RowNumber)} DESC";
        var order = _version is null ? last : $"CASE WHEN {_version} IS NULL THEN 1 ELSE 0 END, {_version} DESC, {last}";
        var values = string.Join(", ", columns.Select(column => $"{Value(column)} AS {RedshiftName.Quoted(column.Name)}"));
        return new($"""
            CREATE TEMPORARY TABLE {_newest} AS SELECT {values}
            FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {Keys} ORDER BY {order}) AS "_exporter_place" FROM {_stage}) AS q WHERE "_exporter_place" = 1
            """);
    }

    /// <summary>In their order, in one transaction: what brings staged rows into the target.</summary>
    public IEnumerable<RedshiftStatement> Bring()
    {
        if (!options.IsMerge)
        {
            var values = string.Join(", ", columns.Select(Value));
            yield return options.Provenance is { } provenance
                ? new($"INSERT INTO {target.Name} ({_names}, {RedshiftName.Quoted(provenance)}) SELECT {values}, '{claim}' FROM {_stage}")
                : new($"INSERT INTO {target.Name} ({_names}) SELECT {values} FROM {_stage}");
            yield break;
        }

        foreach (var statement in Remember())
        {
            yield return new(statement);
        }

        // What is older than what is there goes no further.
        if (_version is not null)
        {
            yield return new($"DELETE FROM {_newest} USING {target.Name} AS t WHERE {Same("t", _newest)} AND t.{_version} IS NOT NULL AND ({_newest}.{_version} IS NULL OR t.{_version} > {_newest}.{_version})");
        }

        var here = options.DeleteName is null ? "" : $" AND NOT {Gone("n")}";
        if (options.DeleteName is not null)
        {
            yield return new($"DELETE FROM {target.Name} USING {_newest} AS n WHERE {Same(target.Name, "n")} AND {Gone("n")}");
        }

        var others = columns.Where(column => !options.KeyColumns.Contains(column.Name)).Select(column => RedshiftName.Quoted(column.Name)).ToList();
        if (others.Count > 0)
        {
            yield return new($"UPDATE {target.Name} AS t SET {string.Join(", ", others.Select(name => $"{name} = n.{name}"))} FROM {_newest} AS n WHERE {Same("t", "n")}{here}");
        }

        yield return new($"INSERT INTO {target.Name} ({_names}) SELECT {ColumnsOf("n")} FROM {_newest} AS n {LeftJoin(target.Name, "t")} WHERE t.{There} IS NULL{here}");
    }

    private string Keys => RedshiftName.List(options.KeyColumns);

    private string RememberedName
    {
        get
        {
            var name = "_exporter_deleted_" + target.TableName;
            return RedshiftName.IsName(name) ? name : "_exporter_deleted_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(target.TableName)))[..32];
        }
    }

    private string RememberedTable => options.InSchema(RememberedName);

    private RedshiftType Staged(RedshiftColumn column) => column.Type.Staged(options.IsCopy);

    private string Value(RedshiftColumn column) => column.Target.FromStage(RedshiftName.Quoted(column.Name), Staged(column));

    private IEnumerable<string> Remember()
    {
        if (Remembered() is null)
        {
            yield break;
        }

        yield return $"UPDATE {RememberedTable} AS d SET {_version} = n.{_version} FROM {_newest} AS n WHERE {Same("d", "n")} AND {Gone("n")} AND n.{_version} IS NOT NULL AND (d.{_version} IS NULL OR d.{_version} < n.{_version})";
        yield return $"INSERT INTO {RememberedTable} ({Keys}, {_version}) SELECT {KeysOf("n")}, n.{_version} FROM {_newest} AS n {LeftJoin(RememberedTable, "t")} WHERE t.{There} IS NULL AND {Gone("n")} AND n.{_version} IS NOT NULL";
        yield return $"DELETE FROM {_newest} USING {RememberedTable} AS d WHERE {Same("d", _newest)} AND NOT {Gone(_newest)} AND d.{_version} >= {_newest}.{_version}";
    }

    private string LeftJoin(string table, string alias) => $"LEFT JOIN (SELECT DISTINCT {Keys}, 1 AS {There} FROM {table}) AS {alias} ON {Same(alias, "n")}";

    private string Gone(string from)
    {
        var column = columns.First(column => column.Name == options.DeleteName);
        var name = $"{from}.{RedshiftName.Quoted(column.Name)}";
        return column.Target.Name switch
        {
            "BOOLEAN" => $"COALESCE({name}, FALSE)",
            "SMALLINT" or "INTEGER" or "BIGINT" or "DECIMAL" => $"COALESCE({name} <> 0, FALSE)",
            _ => throw new UserErrorException(
                RedshiftOptions.DeleteSetting, $"Column \"{column.Name}\" is of type {column.Target}.", "Name a boolean column, or one with whole numbers."),
        };
    }

    private string ColumnsOf(string from) => string.Join(", ", columns.Select(column => $"{from}.{RedshiftName.Quoted(column.Name)}"));

    private string KeysOf(string from) => string.Join(", ", options.KeyColumns.Select(key => $"{from}.{RedshiftName.Quoted(key)}"));

    // Keys are not enforced, and a missing value is equal to none: where there may be some, rows with it would be added again and again.
    private string Same(string one, string other) => string.Join(" AND ", options.KeyColumns.Select(key =>
    {
        var (left, right) = ($"{one}.{RedshiftName.Quoted(key)}", $"{other}.{RedshiftName.Quoted(key)}");
        return columns.First(column => column.Name == key).IsNullable ? $"({left} = {right} OR ({left} IS NULL AND {right} IS NULL))" : $"{left} = {right}";
    }));
}
