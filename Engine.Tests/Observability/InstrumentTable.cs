using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Observability;

/// <summary>A document's table of a meter's instruments, made from the code; <c>UPDATE_TEXTS=1</c> writes it anew.</summary>
internal static class InstrumentTable
{
    /// <summary>Compares them.</summary>
    /// <param name="page">The document.</param>
    /// <param name="meter">The meter's name.</param>
    /// <param name="mark">The line before the table.</param>
    /// <param name="make">Makes the instruments.</param>
    /// <param name="atLeast">How many instruments there are at least.</param>
    public static async Task CheckAsync(string page, string meter, string mark, Action<IMeterFactory> make, int atLeast)
    {
        var instruments = new List<Instrument>();
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var factory = services.GetRequiredService<IMeterFactory>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (ReferenceEquals(instrument.Meter, factory.Create(meter)))
                {
                    instruments.Add(instrument);
                }
            },
        };
        make(factory);
        listener.Start();
        var table = string.Concat(
            instruments.OrderBy(instrument => instrument.Name, StringComparer.Ordinal)
                .Select(instrument => $"| `{instrument.Name}` | {KindOf(instrument)} | {instrument.Unit} | {instrument.Description} |\n")
                .Prepend("| instrument | kind | unit | what it tells |\n| --- | --- | --- | --- |\n"));
        var text = await File.ReadAllTextAsync(page);
        var expected = Regex.Replace(text, Regex.Escape(mark) + @"\n(\|.*\n)*\n", $"{mark}\n{table}\n");
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await File.WriteAllTextAsync(page, expected);
            return;
        }

        Assert.That(instruments, Has.Count.GreaterThanOrEqualTo(atLeast));
        Assert.That(text, Does.Contain(mark));
        Assert.That(text, Is.EqualTo(expected), $"{page}; UPDATE_TEXTS=1 writes the table anew");
    }

    private static string KindOf(Instrument instrument) => instrument.GetType().Name.Split('`')[0] switch
    {
        "ObservableGauge" => "gauge",
        var name => name.ToLowerInvariant(),
    };
}
