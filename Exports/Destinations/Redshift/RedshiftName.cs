using System.Text;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// Names and texts as they stand in SQL: https://docs.aws.amazon.com/redshift/latest/dg/r_names.html. ASCII letters are folded to lower case also in
/// double quotes, so names are brought there first, and what the catalogue says is compared with that.
/// </summary>
internal static class RedshiftName
{
    /// <summary>What names may have, in bytes.</summary>
    public const int Longest = 127;

    // They cannot name a column: the same page.
    private static readonly HashSet<string> System = ["oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

    /// <summary>The name as Redshift keeps it.</summary>
    public static string Of(string name) => string.Create(name.Length, name, static (letters, source) =>
    {
        for (var at = 0; at < letters.Length; at++)
        {
            letters[at] = char.IsAsciiLetterUpper(source[at]) ? (char)(source[at] + 32) : source[at];
        }
    });

    /// <summary>Whether something can have this name.</summary>
    public static bool IsName(string name) => Encoding.UTF8.GetByteCount(name) is > 0 and <= Longest && !name.Any(char.IsControl);

    /// <summary>Whether a column can have this name.</summary>
    public static bool IsColumnName(string name) => IsName(name) && !System.Contains(name);

    /// <summary>A name.</summary>
    public static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    /// <summary>Names, separated by commas.</summary>
    public static string List(IEnumerable<string> names) => string.Join(", ", names.Select(Quoted));

    /// <summary>A name in a schema.</summary>
    public static string In(string schema, string name) => $"{Quoted(schema)}.{Quoted(name)}";

    /// <summary>A text without a backslash, which may begin an escape or not: for what COPY cannot take as a parameter.</summary>
    public static string Literal(string text) => text.Contains('\\', StringComparison.Ordinal)
        ? throw new ArgumentException("A backslash means different things to different servers.", nameof(text))
        : $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
}
