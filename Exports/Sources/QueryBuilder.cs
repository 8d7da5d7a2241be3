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

    /// <summary>The column with the hash of a row's key, last among the columns of <see cref="Rows"/> when it is asked for.</summary>
    public const string KeyHash = "__export_key_hash";

    /// <summary>The rows of a slice, every column cast to a type that Arrow carries whole; <paramref name="nested"/> as <see cref="ColumnCast"/> has it.</summary>
    public static SourceQuery Rows(SourceModel model, IReadOnlyList<DescribedColumn> columns, Slice slice, bool keyHash = false, bool nested = false)
    {
        var outer = columns.Select((column, i) => $"{ColumnCast.Apply(Alias(i), column.Type, nested)} AS {Quote(column.Alias)}");
        var inner = columns.Select((column, i) => $"({SqlFragment.Check("columns", column.Expression)}) AS {Alias(i)}");
        if (keyHash)
        {
            outer = outer.Append(KeyHash);
            inner = inner.Append($"{KeyHashOf(model, grouped: false)} AS {KeyHash}");
        }

        var distinct = model.Dedup == Dedup.DistinctOn ? $" DISTINCT ON ({Keys(model)})" : "";
        var newest = model.Dedup != Dedup.LimitBy ? ""
            : (model.VersionColumn is { } version ? $"\n  ORDER BY {Quote(version)} DESC" : "") + $"\n  LIMIT 1 BY {Keys(model)}";
        return Bound(
            $"""
            SELECT
              {string.Join(",\n  ", outer)}
            FROM (
              SELECT{distinct}
                {string.Join(",\n    ", inner)}
              {From(model)}
              {Where(model, slice.HashBuckets > 1, "  ")}{newest}
            )
            """,
            slice.Range,
            slice.HashBuckets > 1 ? [("hash_buckets", slice.HashBuckets), ("hash_bucket", slice.HashBucket)] : []);
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
        $"""
        SELECT avg(byteSize({string.Join(", ", columns.Select((_, i) => Alias(i)))}))
        FROM (
          SELECT
            {string.Join(",\n    ", columns.Select((column, i) => $"({SqlFragment.Check("columns", column.Expression)}) AS {Alias(i)}"))}
          {From(model)}
          {Where(model, hashed: false, "  ")}
          LIMIT 1000
        )
        """,
        range,
        []);

    /// <summary>What the table's <c>*</c> means.</summary>
    public static SourceQuery DescribeTable(SourceModel model) =>
        SourceQuery.Without($"DESCRIBE (SELECT * FROM {Table(model)})");

    /// <summary>The types of expressions over the table, which are values of <paramref name="setting"/>.</summary>
    public static SourceQuery DescribeExpressions(SourceModel model, string setting, IEnumerable<string> expressions) =>
        SourceQuery.Without(
            $"DESCRIBE (SELECT {string.Join(", ", expressions.Select((e, i) => $"({SqlFragment.Check(setting, e)}) AS {Alias(i)}"))} FROM {Table(model)})");

    /// <summary>Whether ClickHouse understands the filter as a condition.</summary>
    public static SourceQuery DescribeFilter(SourceModel model) =>
        SourceQuery.Without($"DESCRIBE (SELECT 1 FROM {Table(model)} WHERE ({SqlFragment.Check("filter", model.Filter!)}))");

    /// <summary>A name between backticks.</summary>
    public static string Quote(string name) =>
        "`" + name.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal) + "`";

    private static string Alias(int column) => string.Create(CultureInfo.InvariantCulture, $"__export_{column}");

    private static string Table(SourceModel model)
    {
        var parts = model.Table.Split('.', 2);
        return string.Join('.', parts.Select(Quote));
    }

    private static string From(SourceModel model) =>
        $"FROM {Table(model)}{(model.Dedup == Dedup.Final ? " FINAL" : "")}";

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

    // Grouped twice where keys are counted: uniqExact leaves NULLs out, also inside a tuple, which the optimiser takes away.
    private static SourceQuery Count(
        SourceModel model, string bucket, DataInterval range, bool hashed, ReadOnlySpan<(string, long)> numbers) => Bound(
        model.Dedup is Dedup.DistinctOn or Dedup.LimitBy
            ? $"""
              SELECT __export_bucket, toInt64(count()), sum({KeyHash})
              FROM (
                SELECT {bucket} AS __export_bucket, {KeyHashOf(model, grouped: true)} AS {KeyHash}
                {From(model)}
                {Where(model, hashed, "  ")}
                GROUP BY __export_bucket, {Keys(model)}
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

    private static string Where(SourceModel model, bool hashed, string indent)
    {
        var cursor = Quote(model.CursorColumn);
        var text = new StringBuilder($"WHERE {cursor} >= {{from:{Instant}}} AND {cursor} < {{to:{Instant}}}");
        if (model.Filter is { } filter)
        {
            text.Append('\n').Append(indent).Append("  AND (").Append(SqlFragment.Check("filter", filter)).Append(')');
        }

        if (hashed)
        {
            text.Append('\n').Append(indent).Append("  AND ").Append(Hash(model)).Append(" = {hash_bucket:UInt32}");
        }

        return text.ToString();
    }

    private static SourceQuery Bound(string sql, DataInterval range, ReadOnlySpan<(string Name, long Value)> numbers)
    {
        var values = new Dictionary<string, string>
        {
            ["from"] = SourceQuery.Instant(range.Start),
            ["to"] = SourceQuery.Instant(range.End),
        };
        foreach (var (name, value) in numbers)
        {
            values[name] = value.ToString(CultureInfo.InvariantCulture);
        }

        return new SourceQuery(sql, values);
    }
}
