using System.Globalization;
using System.Text.Json.Serialization;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>The half-open range [start, end) of the cursor column that one batch export run moves. Always UTC.</summary>
public sealed record DataInterval
{
    /// <summary>Makes an interval.</summary>
    /// <exception cref="ArgumentException">The end is not after the start.</exception>
    [JsonConstructor]
    public DataInterval(DateTimeOffset start, DateTimeOffset end)
    {
        if (end <= start)
        {
            throw new ArgumentException($"The end ({end:O}) must be after the start ({start:O}); intervals are half-open.", nameof(end));
        }

        Start = start.ToUniversalTime();
        End = end.ToUniversalTime();
    }

    /// <summary>The first instant that belongs to the interval.</summary>
    public DateTimeOffset Start { get; }

    /// <summary>The first instant after the interval.</summary>
    public DateTimeOffset End { get; }

    /// <summary>An interval whose ends somebody gave.</summary>
    /// <exception cref="UserErrorException">The end is not after the start, or one is not from 1900 to 2400.</exception>
    internal static DataInterval Between(DateTimeOffset start, DateTimeOffset end) => (start, end) switch
    {
        ({ UtcDateTime.Year: < 1900 or > 2400 }, _) => throw new UserErrorException("start", $"The start is {start:yyyy-MM-ddTHH:mm:ssZ}.", "Give a time from 1900 to 2400."),
        (_, { UtcDateTime.Year: > 2400 }) => throw new UserErrorException("end", $"The end is {end:yyyy-MM-ddTHH:mm:ssZ}.", "Give a time from 1900 to 2400."),
        _ when end > start => new DataInterval(start, end),
        _ => throw new UserErrorException("end", $"The end, {end:yyyy-MM-ddTHH:mm:ssZ}, is not after the start, {start:yyyy-MM-ddTHH:mm:ssZ}.", "Swap them, or choose a later end."),
    };

    /// <summary>An interval that is given whole or not at all; null when it is not.</summary>
    /// <exception cref="UserErrorException">One of its ends is given, or the end is not after the start.</exception>
    internal static DataInterval? Given(DateTimeOffset? start, DateTimeOffset? end) => (start, end) switch
    {
        (null, null) => null,
        ({ } from, { } to) => Between(from, to),
        _ => throw new UserErrorException("start", "Only one of start and end is given.", "Give both (--start and --end), or none for the last interval that has ended."),
    };

    /// <summary>As it stands in object keys: only letters, digits and dashes, sorted by time.</summary>
    public string ToKey() => string.Create(CultureInfo.InvariantCulture, $"{Key(Start)}-{Key(End)}");

    /// <inheritdoc />
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"[{Start:yyyy-MM-ddTHH:mm:ss.FFFFFFFZ}, {End:yyyy-MM-ddTHH:mm:ss.FFFFFFFZ})");

    internal static string Key(DateTimeOffset time) => time.ToString(
        time.Ticks % TimeSpan.TicksPerSecond == 0 ? "yyyyMMddTHHmmssZ" : "yyyyMMddTHHmmssfffffffZ",
        CultureInfo.InvariantCulture);
}
