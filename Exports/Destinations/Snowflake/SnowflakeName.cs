namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// Names and texts as they stand in SQL: https://docs.snowflake.com/en/sql-reference/identifiers-syntax. A name that a user gives is
/// read as Snowflake reads it: in double quotes literally, else in capitals.
/// </summary>
internal static class SnowflakeName
{
    /// <summary>What names may have, in characters.</summary>
    public const int Longest = 255;

    /// <summary>The name that a user means.</summary>
    public static string Of(string text) => text.Length > 2 && text[0] == '"' && text[^1] == '"'
        ? text[1..^1].Replace("\"\"", "\"", StringComparison.Ordinal)
        : text.ToUpperInvariant();

    /// <summary>The names that a user means by a name with its database and schema or without.</summary>
    public static IReadOnlyList<string> Path(string text)
    {
        var parts = new List<string>();
        var from = 0;
        var quoted = false;
        for (var at = 0; at <= text.Length; at++)
        {
            if (at == text.Length || (text[at] == '.' && !quoted))
            {
                parts.Add(Of(text[from..at]));
                from = at + 1;
            }
            else if (text[at] == '"')
            {
                quoted = !quoted;
            }
        }

        return parts;
    }

    /// <summary>A name, taken literally.</summary>
    public static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    /// <summary>Names with their database and schema.</summary>
    public static string Quoted(params IEnumerable<string> path) => string.Join('.', path.Select(Quoted));

    /// <summary>Names, separated by commas.</summary>
    public static string List(IEnumerable<string> names) => string.Join(", ", names.Select(Quoted));

    /// <summary>A text; a backslash begins an escape in it.</summary>
    public static string Literal(string? text) => text is null
        ? "NULL"
        : $"'{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "''", StringComparison.Ordinal)}'";
}
