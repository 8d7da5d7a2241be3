using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Exporter.Exports.Model;

/// <summary>Durations as people write them: a whole number and a unit, <c>90s 5m 1h 1d 1w</c>.</summary>
public static class Duration
{
    private static readonly (char Unit, TimeSpan Length)[] Units =
    [
        ('w', TimeSpan.FromDays(7)), ('d', TimeSpan.FromDays(1)), ('h', TimeSpan.FromHours(1)), ('m', TimeSpan.FromMinutes(1)),
        ('s', TimeSpan.FromSeconds(1)),
    ];

    /// <summary>Reads a duration of at most 100 years.</summary>
    public static bool TryParse(string? text, out TimeSpan duration)
    {
        duration = default;
        text = text?.Trim() ?? "";
        var unit = text.Length < 2 ? default : Array.Find(Units, candidate => candidate.Unit == text[^1]);
        if (unit.Length == default
            || !int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            || number > TimeSpan.FromDays(36_500) / unit.Length)
        {
            return false;
        }

        duration = unit.Length * number;
        return true;
    }

    /// <summary>Writes a duration of whole seconds in the largest unit that fits.</summary>
    public static string Format(TimeSpan duration)
    {
        var unit = duration == TimeSpan.Zero ? Units[^1] : Array.Find(Units, candidate => duration.Ticks % candidate.Length.Ticks == 0);
        return unit.Length == default
            ? throw new ArgumentOutOfRangeException(nameof(duration), duration, "The duration must be of whole seconds.")
            : string.Create(CultureInfo.InvariantCulture, $"{duration.Ticks / unit.Length.Ticks}{unit.Unit}");
    }
}

/// <summary>A <see cref="TimeSpan"/> as <see cref="Duration"/> writes it.</summary>
internal sealed class DurationConverter : JsonConverter<TimeSpan>
{
    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        Duration.TryParse(reader.GetString(), out var duration)
            ? duration
            : throw new JsonException($"\"{reader.GetString()}\" is no duration; write a whole number and s, m, h, d or w.");

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) =>
        writer.WriteStringValue(Duration.Format(value));
}
