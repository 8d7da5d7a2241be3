using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>Names and texts as they stand in GoogleSQL: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical.</summary>
internal static class BigQueryName
{
    // Of a table 1,024 bytes are allowed; the exporter's own tables beside it have some more than it.
    private const int LongestTable = 900;
    private const int LongestColumn = 300;

    // https://cloud.google.com/bigquery/docs/schemas#column_names
    private static readonly string[] Reserved =
    [
        "_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_SEQUENCE_NUMBER", "_CHANGE_TYPE", "_CHANGE_TIMESTAMP",
    ];

    /// <summary>Whether a table can have this name: https://cloud.google.com/bigquery/docs/tables#table_naming.</summary>
    public static bool IsTable(string name) => Encoding.UTF8.GetByteCount(name) is > 0 and <= LongestTable && name.Trim() == name && name.All(letter =>
        letter is '-' or ' ' || char.GetUnicodeCategory(letter) is UnicodeCategory.ConnectorPunctuation or UnicodeCategory.DashPunctuation || IsLetter(letter));

    /// <summary>Why a column cannot have this name; null when it can. Letters of other languages are left to BigQuery's flexible column names.</summary>
    public static string? ProblemOfColumn(string name) => name switch
    {
        { Length: 0 or > LongestColumn } => string.Create(CultureInfo.InvariantCulture, $"it has 1 to {LongestColumn} characters"),
        _ when !IsLetter(name[0]) && name[0] != '_' || char.IsAsciiDigit(name[0]) => "it begins with a letter or an underscore",
        _ when name.FirstOrDefault(letter => letter is not ('_' or '-' or ' ') && !IsLetter(letter)) is not '\0' and var other => $"'{other}' cannot stand in it",
        _ when Reserved.FirstOrDefault(start => name.StartsWith(start, StringComparison.OrdinalIgnoreCase)) is { } start => $"{start} is reserved",
        _ => null,
    };

    /// <summary>A name, taken literally.</summary>
    public static string Quoted(string name) => $"`{name.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal)}`";

    /// <summary>Names, separated by commas.</summary>
    public static string List(IEnumerable<string> names) => string.Join(", ", names.Select(Quoted));

    /// <summary>A table in its dataset.</summary>
    public static string Table(BigQueryOptions options, string table) => $"{Quoted(options.Project)}.{Quoted(options.Dataset)}.{Quoted(table)}";

    /// <summary>A text.</summary>
    public static string Literal(string? text)
    {
        if (text is null)
        {
            return "NULL";
        }

        var literal = new StringBuilder("'");
        foreach (var letter in text)
        {
            _ = letter switch
            {
                '\\' or '\'' => literal.Append('\\').Append(letter),
                < ' ' or '\u007f' => literal.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}"),
                _ => literal.Append(letter),
            };
        }

        return literal.Append('\'').ToString();
    }

    /// <summary>Names that a user separates by commas.</summary>
    public static IReadOnlyList<string> Split(string text) => text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>Stands for a long text in a name.</summary>
    public static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];

    private static bool IsLetter(char letter) => char.IsLetterOrDigit(letter)
        || char.GetUnicodeCategory(letter) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;
}
