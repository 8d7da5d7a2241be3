namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Names and texts as they stand in SQL.</summary>
internal static class Quoted
{
    /// <summary>A name, taken literally: capitals, dots and blanks belong to it.</summary>
    public static string Name(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    /// <summary>Names, separated by commas.</summary>
    public static string Names(IEnumerable<string> names) => string.Join(", ", names.Select(Name));

    /// <summary>A text.</summary>
    public static string Text(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    /// <summary>A name in a schema.</summary>
    public static string In(string schema, string name) => $"{Name(schema)}.{Name(name)}";
}
