using System.Globalization;

namespace Exporter.Exports.Model;

/// <summary>Sizes as people write them: <c>512MB</c>, <c>1.5GB</c>, <c>64MiB</c>, or bytes alone.</summary>
internal static class ByteSize
{
    private static readonly (string Unit, long Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("B", 1),
    ];

    /// <summary>Reads a size; capitals do not matter.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        var (unit, factor) = Units.FirstOrDefault(unit => text.EndsWith(unit.Unit, StringComparison.OrdinalIgnoreCase), ("", 1));
        var number = text[..^unit.Length].Trim();
        var ok = decimal.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value) && value <= long.MaxValue / factor;
        bytes = ok ? (long)(value * factor) : 0;
        return ok;
    }

    /// <summary>A size in the largest unit that it is a whole number of.</summary>
    public static string Format(long bytes)
    {
        var (unit, factor) = Units.OrderByDescending(unit => unit.Bytes).First(unit => bytes % unit.Bytes == 0);
        return string.Create(CultureInfo.InvariantCulture, $"{bytes / factor}{unit}");
    }
}
