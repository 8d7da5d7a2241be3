using System.Globalization;
using System.Text;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Sources;

/// <summary>
/// The texts of all queries over a model's rows. Pure. Names are quoted, values are bound, and what the user wrote as SQL stands
/// in parentheses that it cannot leave. Our own aliases begin with <c>__export_</c>, so that the user's filter and expressions
/// always mean the table's columns: in ClickHouse an alias would win over a column of the same name.
/// </summary>
internal static class QueryBuilder
{
    private const string Instant = "DateTime64(9, 'UTC')";

    // What every kind of time at ClickHouse can hold.
    private static readonly DataInterval Everything = new(DateTimeOffset.UnixEpoch, new DateTimeOffset(2106, 1, 1, 0, 0, 0, TimeSpan.Zero));

    /// <summary>The column with the hash of a row's key, last among the columns of <see cref="Rows"/> when it is asked for.</summary>
    public const string KeyHash = "__export_key_hash";

    /// <summary>The rows of a slice, every column cast to a type that Arrow carries whole; <paramref name="nested"/> as <see cref="ColumnCast"/> has it.</summary>
    public static SourceQuery Rows(SourceModel model, IReadOnlyList<DescribedColumn> columns, Slice slice, bool keyHash = false, bool nested = false)
    {
        var outer = columns.Select((column, i) => $"{ColumnCast.Apply(Alias(i), column.Type, nested)} AS {Quote(column.Alias)}");
        return Bound(
            model,
            $"""
            SELECT
              {string.Join(",\n  ", keyHash ? outer.Append(KeyHash) : outer)}
            FROM (
              {Selected(model, columns, slice.HashBuckets > 1, keyHash)}
            ){(DropsAfterDedup(model) ? "\nWHERE NOT __export_deleted" : "")}
            """,
            slice.Range,
            slice.HashBuckets > 1 ? [("hash_buckets", slice.HashBuckets), ("hash_bucket", slice.HashBucket)] : []);
    }

    /// <summary>
    /// The same rows in the same order in every attempt: by the cursor column and the key, where they are among the columns, then by all
    /// others. Rows that are equal in all of them may change places, which nobody can see.
    /// </summary>
    public static SourceQuery InOrder(SourceQuery rows, SourceModel model, IReadOnlyList<DescribedColumn> columns)
    {
        var first = model.KeyColumns.Prepend(model.CursorColumn).Distinct(StringComparer.Ordinal).Select(Quote)
            .Select(name => columns.FirstOrDefault(column => column.Expression == name || column.Expression == name.Trim('`'))?.Alias).OfType<string>();
        var order = first.Concat(columns.Select(column => column.Alias)).Distinct(StringComparer.Ordinal).Select(Quote);
        return rows with { Sql = $"SELECT *\nFROM (\n{rows.Sql}\n)\nORDER BY {string.Join(", ", order)}" };
    }

    /// <summary>The query of a model for people to read: without the casts, which depend on the table's types.</summary>
    public static SourceQuery Preview(SourceModel model)
    {
        IReadOnlyList<DescribedColumn> columns = [.. model.Columns.Select(column => new DescribedColumn(column.Expression, column.Alias, ""))];
        var everything = columns.Count == 0
            ? DropsAfterDedup(model) ? "* EXCEPT (__export_deleted)" : "*"
            : string.Join(",\n  ", columns.Select((column, i) => $"{Alias(i)} AS {Quote(column.Alias)}"));
        var query = Bound(
            model,
            $"""
            SELECT
              {everything}
            FROM (
              {Selected(model, columns, hashed: false, keyHash: false)}
            ){(DropsAfterDedup(model) ? "\nWHERE NOT __export_deleted" : "")}
            """,
            range: null,
            []);
        return query with { Parameters = RowFilter.Of(model).Parameters };
    }

    /// <summary>Rows after dedup by bucket of the cursor column: bucket n begins <paramref name="width"/> times n after the range's start.</summary>
    public static SourceQuery CountByCursor(SourceModel model, DataInterval range, TimeSpan width) => Count(
        model,
        $"intDiv(toUnixTimestamp64Nano(toDateTime64({Quote(model.CursorColumn)}, 9, 'UTC')) - toUnixTimestamp64Nano({{from:{Instant}}}), {{width:Int64}})",
        range,
        hashed: false,
        [("width", width.Ticks * TimeSpan.NanosecondsPerTick)]);

    /// <summary>Rows after dedup by hash bucket of the key.</summary>
    public static SourceQuery CountByHash(SourceModel model, DataInterval range, int buckets) =>
        Count(model, $"toInt64({Hash(model)})", range, hashed: false, [("hash_buckets", buckets)]);

    /// <summary>Rows after dedup of one slice: no row when there are none.</summary>
    public static SourceQuery CountSlice(SourceModel model, Slice slice) => Count(
        model,
        "toInt64(0)",
        slice.Range,
        slice.HashBuckets > 1,
        slice.HashBuckets > 1 ? [("hash_buckets", slice.HashBuckets), ("hash_bucket", slice.HashBucket)] : []);

    /// <summary>Rows after dedup by slice, of slices that are ranges of the cursor column alone; the number of a bucket is the slice's
    /// start, in nanoseconds since 1970.</summary>
    public static SourceQuery CountByStart(SourceModel model, DataInterval range, IEnumerable<DateTimeOffset> starts)
    {
        var query = Count(
            model, $"roundDown(toUnixTimestamp64Nano(toDateTime64({Quote(model.CursorColumn)}, 9, 'UTC')), {{starts:Array(Int64)}})", range, hashed: false, []);
        var values = new Dictionary<string, string>(query.Parameters)
        {
            ["starts"] = $"[{string.Join(',', starts.Select(start => SourceQuery.Nanoseconds(start).ToString(CultureInfo.InvariantCulture)))}]",
        };
        return query with { Parameters = values };
    }

    /// <summary>About how many bytes a row has uncompressed, from a few rows of the range; NaN when there are none.</summary>
    public static SourceQuery RowBytes(SourceModel model, IReadOnlyList<DescribedColumn> columns, DataInterval range) => Bound(
        model,
        $"""
        SELECT avg(byteSize({string.Join(", ", columns.Select((_, i) => Alias(i)))}))
        FROM (
          SELECT
            {Expressions(columns)}
          {From(model)}
          {Where(model, hashed: false, "  ")}
          LIMIT 1000
        )
        """,
        range,
        []);

    /// <summary>How many rows are exported of all that there are, before dedup, and the cursor of the earliest in microseconds since 1970. Of an own
    /// query with the parameters of an interval: of all intervals at once.</summary>
    public static SourceQuery Earliest(SourceModel model)
    {
        var conditions = RowFilter.Of(model).Conditions;
        return Bound(
            model with { Interval = Everything },
            $"SELECT count(), toUnixTimestamp64Micro(toDateTime64(min({Quote(model.CursorColumn)}), 6, 'UTC'))\n{From(model)}"
            + (conditions.Count == 0 ? "" : $"\nWHERE {string.Join("\n  AND ", conditions)}"),
            range: null,
            []);
    }

    /// <summary>What the table's <c>*</c> means.</summary>
    public static SourceQuery DescribeTable(SourceModel model) => Bound(model, $"DESCRIBE (SELECT * FROM {Source(model)})", range: null, []);

    /// <summary>The types of expressions over the table, which are values of <paramref name="setting"/>.</summary>
    public static SourceQuery DescribeExpressions(SourceModel model, string setting, IEnumerable<string> expressions) => Bound(
        model,
        $"DESCRIBE (SELECT {string.Join(", ", expressions.Select((e, i) => $"({SqlFragment.Check(setting, e)}) AS {Alias(i)}"))} FROM {Source(model)})",
        range: null,
        []);

    /// <summary>Whether ClickHouse understands the model's conditions: those of it that <paramref name="part"/> has.</summary>
    public static SourceQuery DescribeFilter(SourceModel part) => Bound(
        part, $"DESCRIBE (SELECT 1 FROM {Source(part)} WHERE {string.Join(" AND ", RowFilter.Of(part).Conditions)})", range: null, []);

    /// <summary>Fails when a regular expression is none.</summary>
    public static SourceQuery TryRegex(string pattern) =>
        new("SELECT match('', {pattern:String})", new Dictionary<string, string> { ["pattern"] = SourceQuery.Text(pattern) });

    /// <summary>A name between backticks.</summary>
    public static string Quote(string name) =>
        "`" + name.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal) + "`";

    private static string Alias(int column) => string.Create(CultureInfo.InvariantCulture, $"__export_{column}");

    private static string Expressions(IReadOnlyList<DescribedColumn> columns) =>
        columns.Count == 0 ? "*" : string.Join(",\n    ", columns.Select((column, i) => $"({SqlFragment.Check("columns", column.Expression)}) AS {Alias(i)}"));

    // The rows that count, before they are cast; and whether the newest row of a key says that it was deleted.
    private static string Selected(SourceModel model, IReadOnlyList<DescribedColumn> columns, bool hashed, bool keyHash)
    {
        var hash = keyHash ? $",\n    {KeyHashOf(model, grouped: false)} AS {KeyHash}" : "";
        var deleted = DropsAfterDedup(model) ? $",\n    {IsDeleted(model)} AS __export_deleted" : "";
        var distinct = model.Dedup == Dedup.DistinctOn ? $" DISTINCT ON ({Keys(model)})" : "";
        var order = model.VersionColumn is not { } version ? ""
            : $"\n  ORDER BY {Quote(version)} DESC" + (DropsAfterDedup(model) ? $", {IsDeleted(model)} DESC" : "");
        var newest = model.Dedup == Dedup.LimitBy ? $"{order}\n  LIMIT 1 BY {Keys(model)}" : "";
        return $"""
            SELECT{distinct}
                {Expressions(columns)}{hash}{deleted}
              {From(model)}
              {Where(model, hashed, "  ")}{newest}
            """;
    }

    private static string Source(SourceModel model) => model.Query is { } query
        ? $"(\n{SqlFragment.CheckQuery("query", query)}\n) AS __export_source"
        : string.Join('.', model.Table!.Split('.', 2).Select(Quote));

    private static string From(SourceModel model) =>
        $"FROM {Source(model)}{(model.Dedup == Dedup.Final ? " FINAL" : "")}";

    private static string Keys(SourceModel model) => model.KeyColumns.Count > 0
        ? string.Join(", ", model.KeyColumns.Select(Quote))
        : throw new UserErrorException("key", "The key is empty.", "Name the columns that together identify a row.");

    // A tuple, since the hash of several arguments is NULL when one of them is.
    private static string Hash(SourceModel model) => $"cityHash64(tuple({Keys(model)})) % {{hash_buckets:UInt32}}";

    // What identifies a row, with the version where that is known, so that a newer version of a row is seen too. DISTINCT ON takes
    // any version. Without a key the cursor column has to do.
    private static string KeyHashOf(SourceModel model, bool grouped)
    {
        var parts = (model.KeyColumns.Count > 0 ? model.KeyColumns : [model.CursorColumn]).Select(Quote).ToList();
        if (model.VersionColumn is { } version && model.Dedup != Dedup.DistinctOn && !model.KeyColumns.Contains(version))
        {
            parts.Add(grouped ? $"max({Quote(version)})" : Quote(version));
        }

        return $"cityHash64(tuple({string.Join(", ", parts)}))";
    }

    private static string IsDeleted(SourceModel model) => $"ifNull({Quote(model.DeletedColumn!)} != 0, 0)";

    private static bool Drops(SourceModel model) => model is { DeletedColumn: not null, Deleted: DeletedRows.LeaveOut };

    // A deleted row hides the older ones of its key, so it may only go once the newest of each key is found.
    private static bool DropsAfterDedup(SourceModel model) => Drops(model) && model.Dedup == Dedup.LimitBy;

    // Grouped twice where keys are counted: uniqExact leaves NULLs out, also inside a tuple, which the optimiser takes away.
    private static SourceQuery Count(
        SourceModel model, string bucket, DataInterval range, bool hashed, ReadOnlySpan<(string, long)> numbers) => Bound(
        model,
        model.Dedup is Dedup.DistinctOn or Dedup.LimitBy
            ? $"""
              SELECT __export_bucket, toInt64(count()), sum({KeyHash})
              FROM (
                SELECT {bucket} AS __export_bucket, {KeyHashOf(model, grouped: true)} AS {KeyHash}
                {From(model)}
                {Where(model, hashed, "  ")}
                GROUP BY __export_bucket, {Keys(model)}{Undeleted(model)}
              )
              GROUP BY __export_bucket
              ORDER BY __export_bucket
              """
            : $"""
              SELECT {bucket} AS __export_bucket, toInt64(count()), sum({KeyHashOf(model, grouped: false)})
              {From(model)}
              {Where(model, hashed, "")}
              GROUP BY __export_bucket
              ORDER BY __export_bucket
              """,
        range,
        numbers);

    // Of a key its newest row counts, and of equally new ones a deletion: as it is ordered where rows are read.
    private static string Undeleted(SourceModel model) => DropsAfterDedup(model)
        ? $"\n  HAVING NOT argMax({IsDeleted(model)}, ({Quote(model.VersionColumn!)}, {IsDeleted(model)}))"
        : "";

    private static string Where(SourceModel model, bool hashed, string indent)
    {
        var cursor = Quote(model.CursorColumn);
        var text = new StringBuilder($"WHERE {cursor} >= {{from:{Instant}}} AND {cursor} < {{to:{Instant}}}");
        IEnumerable<string> conditions =
        [
            .. RowFilter.Of(model).Conditions,
            .. Drops(model) && !DropsAfterDedup(model) ? [$"NOT {IsDeleted(model)}"] : (string[])[],
            .. hashed ? [$"{Hash(model)} = {{hash_bucket:UInt32}}"] : (string[])[],
        ];
        foreach (var condition in conditions)
        {
            text.Append('\n').Append(indent).Append("  AND ").Append(condition);
        }

        return text.ToString();
    }

    // Of a description no rows are read, so any interval will do.
    private static SourceQuery Bound(SourceModel model, string sql, DataInterval? range, ReadOnlySpan<(string Name, long Value)> numbers)
    {
        var values = new Dictionary<string, string>(RowFilter.Of(model).Parameters);
        if (range is not null)
        {
            (values["from"], values["to"]) = (SourceQuery.Instant(range.Start), SourceQuery.Instant(range.End));
        }

        if (model.Query is not null)
        {
            var interval = model.Interval ?? range ?? new DataInterval(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1));
            (values["interval_start"], values["interval_end"]) = (SourceQuery.Instant(interval.Start), SourceQuery.Instant(interval.End));
        }

        foreach (var (name, value) in numbers)
        {
            values[name] = value.ToString(CultureInfo.InvariantCulture);
        }

        return new SourceQuery(sql, values) { Table = model.Table ?? "" };
    }
}
