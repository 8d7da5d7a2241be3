using System.Globalization;
using System.Text.Json;
using Apache.Arrow.Types;

namespace Exporter.Exports.Formats;

/// <summary>Dates and times as JSON strings, with all digits that their unit has; .NET's own types end at 100 ns.</summary>
internal static class JsonTime
{
    public static void WriteDate(Utf8JsonWriter writer, long daysSince1970)
    {
        Span<char> text = stackalloc char[10];
        DateTime.UnixEpoch.AddDays(daysSince1970).TryFormat(text, out var length, "yyyy-MM-dd", CultureInfo.InvariantCulture);
        writer.WriteStringValue(text[..length]);
    }

    public static void WriteInstant(Utf8JsonWriter writer, long value, TimeUnit unit)
    {
        var (perSecond, digits) = Of(unit);
        var seconds = Math.DivRem(value, perSecond, out var fraction);
        if (fraction < 0)
        {
            seconds--;
            fraction += perSecond;
        }

        Span<char> text = stackalloc char[32];
        DateTimeOffset.FromUnixTimeSeconds(seconds).TryFormat(text, out var length, "yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture);
        length += WriteFraction(text[length..], fraction, digits);
        text[length++] = 'Z';
        writer.WriteStringValue(text[..length]);
    }

    // ClickHouse's Time is a length of time: it may be negative and longer than a day.
    public static void WriteTime(Utf8JsonWriter writer, long value, TimeUnit unit)
    {
        var (perSecond, digits) = Of(unit);
        var seconds = Math.DivRem(Math.Abs(value), perSecond, out var fraction);
        Span<char> text = stackalloc char[48];
        text.TryWrite(
            CultureInfo.InvariantCulture,
            $"{(value < 0 ? "-" : "")}{seconds / 3600:00}:{seconds / 60 % 60:00}:{seconds % 60:00}",
            out var length);
        length += WriteFraction(text[length..], fraction, digits);
        writer.WriteStringValue(text[..length]);
    }

    private static int WriteFraction(Span<char> text, long fraction, int digits)
    {
        if (digits == 0)
        {
            return 0;
        }

        text[0] = '.';
        for (var at = digits; at > 0; at--)
        {
            text[at] = (char)('0' + (fraction % 10));
            fraction /= 10;
        }

        return digits + 1;
    }

    private static (long PerSecond, int Digits) Of(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => (1, 0),
        TimeUnit.Millisecond => (1_000, 3),
        TimeUnit.Microsecond => (1_000_000, 6),
        _ => (1_000_000_000, 9),
    };
}
