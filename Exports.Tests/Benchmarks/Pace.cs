using System.Globalization;
using System.Text.Json;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>How fast some work was, and what it used.</summary>
internal sealed record Pace
{
    public required double Seconds { get; init; }

    public required long Rows { get; init; }

    /// <summary>Bytes that came from ClickHouse.</summary>
    public required long WireBytes { get; init; }

    public required long FileBytes { get; init; }

    public required double CpuSeconds { get; init; }

    public required double ServerCpuSeconds { get; init; }

    public required double PeakMegabytes { get; init; }

    public static string Header =>
        $"{"",-34} {"seconds",8} {"least",7} {"most",7} {"rows/s",9} {"MB/s",7} {"wire MB",8} {"file MB",8} {"cpu s",6} {"server",7} {"peak MB",8}";

    /// <summary>The median by time.</summary>
    public static Pace Median(IReadOnlyList<Pace> paces) => paces.OrderBy(pace => pace.Seconds).ElementAt(paces.Count / 2);

    /// <summary>A line of the table; <paramref name="jsonBytes"/> are those of the same rows as JSONEachRow.</summary>
    public static string Line(string what, IReadOnlyList<Pace> paces, long jsonBytes)
    {
        var median = Median(paces);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{what,-34} {median.Seconds,8:0.00} {paces.Min(pace => pace.Seconds),7:0.00} {paces.Max(pace => pace.Seconds),7:0.00} {median.Rows / median.Seconds,9:N0} {jsonBytes / 1e6 / median.Seconds,7:N0} {median.WireBytes / 1e6,8:N0} {median.FileBytes / 1e6,8:N0} {median.CpuSeconds,6:0.0} {median.ServerCpuSeconds,7:0.0} {paces.Max(pace => pace.PeakMegabytes),8:N0}");
    }

    public static string Json(string what, IReadOnlyList<Pace> paces) =>
        JsonSerializer.Serialize(new { what, median = Median(paces), seconds = paces.Select(pace => pace.Seconds) }, JsonSerializerOptions.Web);
}

/// <summary>What a figure should be at most.</summary>
internal sealed record Bar(string What, double Value, double Most)
{
    public bool IsMet => Value <= Most;

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{What,-72} {Value,8:0.00} {Most,8:0.00}  {(IsMet ? "met" : "missed")}");

    public string Json() => JsonSerializer.Serialize(new { bar = What, value = Value, most = Most, met = IsMet }, JsonSerializerOptions.Web);
}
