using System.Globalization;
using System.Text.Json;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>A figure of a work: the median of its repetitions, beside the limit that was measured in between.</summary>
internal sealed record Figure
{
    public required int Work { get; init; }

    public required string What { get; init; }

    public required string Unit { get; init; }

    /// <summary>What each repetition measured.</summary>
    public required IReadOnlyList<double> Values { get; init; }

    /// <summary>What bare SQL reached, or the empty system, beside each of them.</summary>
    public IReadOnlyList<double> Limits { get; init; } = [];

    /// <summary>The bar of the figure itself.</summary>
    public double? Bar { get; init; }

    /// <summary>The bar of the figure in parts of the limit.</summary>
    public double? RatioBar { get; init; }

    /// <summary>Whether less is better.</summary>
    public bool Least { get; init; }

    public double Value => Median(Values);

    public double? Limit => Limits.Count == 0 ? null : Median(Limits);

    /// <summary>Of pairs that were measured one after the other, so that a slow moment of the machine is in both.</summary>
    public double? Ratio => Limits.Count == 0 ? null : Median([.. Values.Zip(Limits, (value, limit) => value / limit)]);

    public bool IsMet => (Bar is not { } bar || (Least ? Value <= bar : Value >= bar)) && (RatioBar is not { } ratio || (Least ? Ratio <= ratio : Ratio >= ratio));

    public string ToJson() => JsonSerializer.Serialize(
        new { work = Work, what = What, unit = Unit, value = Value, limit = Limit, ratio = Ratio, bar = Bar, ratioBar = RatioBar, met = IsMet, values = Values, limits = Limits },
        JsonSerializerOptions.Web);

    public override string ToString()
    {
        var met = Bar is null && RatioBar is null ? "" : IsMet ? "met" : "missed";
        var bars = string.Join(", ", new[] { Bar is null ? null : Text(Bar), RatioBar is null ? null : Text(RatioBar) + " of it" }.OfType<string>());
        return $"{Work,3}  {What,-58} {Text(Value),12} {Unit,-10} {Text(Limit),12} {Text(Ratio),7}  {bars,-20} {met}";
    }

    public static string Header => $"{"",3}  {"",-58} {"measured",12} {"",-10} {"limit",12} {"ratio",7}  {"bar",-20}";

    private static string Text(double? value) => value is not { } number ? "" : Math.Abs(number) switch
    {
        >= 1000 => number.ToString("N0", CultureInfo.InvariantCulture),
        >= 10 => number.ToString("0.0", CultureInfo.InvariantCulture),
        _ => number.ToString("0.00", CultureInfo.InvariantCulture),
    };

    private static double Median(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 2);
}
