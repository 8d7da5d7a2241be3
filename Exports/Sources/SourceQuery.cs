using System.Globalization;
using System.Text;

namespace Exporter.Exports.Sources;

/// <summary>A query for ClickHouse: its text, and every value that is bound to a <c>{name:Type}</c> in it.</summary>
internal sealed record SourceQuery(string Sql, IReadOnlyDictionary<string, string> Parameters)
{
    /// <summary>The table whose rows it asks for; empty when a query of the user's names its own, null when it asks for none.</summary>
    public string? Table { get; init; }

    public static SourceQuery Without(string sql) => new(sql, new Dictionary<string, string>());

    /// <summary>A text as a value of <c>String</c>: ClickHouse reads parameters as it reads tab-separated fields.</summary>
    public static string Text(string text) => Escaped(text).ToString();

    /// <summary>Texts as a value of <c>Array(String)</c>.</summary>
    public static string Texts(IEnumerable<string> texts) =>
        $"[{string.Join(',', texts.Select(text => $"'{Escaped(text).Replace("'", "\\'")}'"))}]";

    private static StringBuilder Escaped(string text) => new StringBuilder(text)
        .Replace("\\", "\\\\").Replace("\t", "\\t").Replace("\n", "\\n").Replace("\r", "\\r").Replace("\0", "\\0").Replace("\b", "\\b").Replace("\f", "\\f");

    /// <summary>An instant in nanoseconds since 1970.</summary>
    public static long Nanoseconds(DateTimeOffset time) => (time.UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks) * TimeSpan.NanosecondsPerTick;

    /// <summary>An instant as a value of <c>DateTime64(9, 'UTC')</c>.</summary>
    public static string Instant(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fffffff00", CultureInfo.InvariantCulture);
}

/// <summary>A column as the source describes it.</summary>
/// <param name="Expression">An expression over the table's columns.</param>
/// <param name="Alias">The column's name in the destination.</param>
/// <param name="Type">The expression's type in ClickHouse.</param>
internal sealed record DescribedColumn(string Expression, string Alias, string Type);

/// <summary>Rows of one bucket of the cursor column, or of one hash bucket of the key.</summary>
/// <param name="Number">From 0; a bucket of the cursor begins at the range's start plus this many widths. Empty ones are left out.</param>
/// <param name="Rows">Rows after dedup; at least 1.</param>
/// <param name="KeyHash">The sum of the hashes of their keys, modulo 2^64: see <see cref="QueryBuilder.KeyHash"/>.</param>
internal readonly record struct BucketCount(long Number, long Rows, ulong KeyHash = 0);
