using System.Globalization;
using System.Text.Json.Serialization;

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

    /// <summary>As it stands in object keys: only letters, digits and dashes, sorted by time.</summary>
    public string ToKey() => string.Create(CultureInfo.InvariantCulture, $"{Key(Start)}-{Key(End)}");

    /// <inheritdoc />
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"[{Start:yyyy-MM-ddTHH:mm:ss.FFFFFFFZ}, {End:yyyy-MM-ddTHH:mm:ss.FFFFFFFZ})");

    internal static string Key(DateTimeOffset time) => time.ToString(
        time.Ticks % TimeSpan.TicksPerSecond == 0 ? "yyyyMMddTHHmmssZ" : "yyyyMMddTHHmmssfffffffZ",
        CultureInfo.InvariantCulture);
}
