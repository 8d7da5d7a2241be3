using System.Globalization;
using System.Text.RegularExpressions;

namespace Exporter.Exports.Sources;

/// <summary>ClickHouse refused or broke off a query.</summary>
/// <param name="code">ClickHouse's error code; 0 when the stream broke off and ClickHouse did not say why.</param>
/// <param name="message">ClickHouse's text, without stack trace.</param>
/// <param name="inner">The cause.</param>
internal sealed partial class SourceException(int code, string message, Exception? inner = null)
    : Exception(code == 0 ? message : string.Create(CultureInfo.InvariantCulture, $"ClickHouse error {code}: {message}"), inner)
{
    /// <summary>ClickHouse's error code, or 0.</summary>
    public int Code { get; } = code;

    /// <summary>ClickHouse's text without the code.</summary>
    public string Text { get; } = message;

    /// <summary>Reads ClickHouse's error text, wherever in <paramref name="text"/> the last one stands; null when there is none.</summary>
    public static SourceException? Parse(string text, Exception? inner)
    {
        var found = Pattern().Match(text);
        return found.Success
            ? new SourceException(
                int.Parse(found.Groups["code"].ValueSpan, CultureInfo.InvariantCulture), OneLine(found.Groups["text"].Value), inner)
            : null;
    }

    private static string OneLine(string text)
    {
        var version = text.IndexOf(" (version ", StringComparison.Ordinal);
        var line = Spaces().Replace(version < 0 ? text : text[..version], " ").Trim();
        return line.Length <= 1000 ? line : line[..1000] + "...";
    }

    // The error of a query stands alone; that of a broken stream stands after the rows, so the last one counts.
    [GeneratedRegex(@"Code: (?<code>\d+)\. DB::Exception: (?<text>.*?)(?=\r?\n\d+ \w+\r?\n__exception__|\z)", RegexOptions.Singleline | RegexOptions.RightToLeft)]
    private static partial Regex Pattern();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
