using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary>Options and arguments whose values have a form of their own; a value that has not is refused in one sentence.</summary>
internal static class Values
{
    private static readonly string[] TimeFormats =
        ["yyyy-MM-dd", "yyyy-MM-ddTHH:mmK", "yyyy-MM-ddTHH:mm:ssK", "yyyy-MM-ddTHH:mm:ss.FFFFFFFK", "yyyy-MM-dd HH:mmK", "yyyy-MM-dd HH:mm:ssK"];

    public static Option<DateTimeOffset?> Time(string name, string description) => new(name)
    {
        Description = description + "; ISO 8601, UTC unless it says otherwise",
        HelpName = "time",
        CustomParser = result => Parse<DateTimeOffset?>(
            result,
            text => DateTimeOffset.TryParseExact(
                text, TimeFormats, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var time) ? time : null,
            text => $"{name} is \"{text}\", which is no time. Write it as 2026-01-31 or 2026-01-31T12:00:00Z."),
    };

    public static Option<TimeSpan?> Time(string name, string description, string helpName) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result => Parse<TimeSpan?>(
            result,
            text => Duration.TryParse(text, out var duration) ? duration : null,
            text => $"{name} is \"{text}\", which is no duration. Write a whole number and s, m, h, d or w, such as 15m."),
    };

    public static Option<long?> Bytes(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "bytes",
        CustomParser = result => Parse<long?>(
            result,
            BytesOf,
            text => $"{name} is \"{text}\", which is no size. Write a whole number and KiB, MiB or GiB, such as 64MiB."),
    };

    public static Option<T?> Word<T>(string name, string description)
        where T : struct, Enum => new(name)
        {
            Description = description,
            HelpName = string.Join('|', ExportJson.Words<T>()),
            CustomParser = result => Parse<T?>(
                result,
                ExportJson.Find<T>,
                text => $"{name} is \"{text}\". Use {string.Join(", ", ExportJson.Words<T>())}."),
        };

    public static Argument<Guid> Id(string what) => new("id")
    {
        Description = $"The {what}'s id",
        CustomParser = result => Parse<Guid?>(
            result, text => Guid.TryParse(text, out var id) ? id : null, text => $"\"{text}\" is no id. See `exporter {what} list`.") ?? Guid.Empty,
    };

    /// <summary>A size; null when it is none.</summary>
    public static long? BytesOf(string text)
    {
        var (digits, unit) = Array.Find(
            new[] { ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("B", 1L), ("", 1L) },
            known => text.EndsWith(known.Item1, StringComparison.Ordinal)) is var (suffix, size) ? (text[..^suffix.Length], size) : (text, 1L);
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= long.MaxValue / unit
            ? number * unit
            : null;
    }

    /// <summary>What was given, read; refused in a sentence when it cannot be.</summary>
    public static T? Parse<T>(ArgumentResult result, Func<string, T?> read, Func<string, string> refuse)
    {
        if (result.Tokens.Count == 0)
        {
            return default;
        }

        var text = result.Tokens[0].Value;
        var value = read(text);
        if (value is null)
        {
            result.AddError(refuse(text));
        }

        return value;
    }
}
