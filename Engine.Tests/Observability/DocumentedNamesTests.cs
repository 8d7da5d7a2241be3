using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Observability;

/// <summary>docs/observability.md names every instrument and span, and no other; <c>UPDATE_TEXTS=1</c> writes the table of instruments anew.</summary>
public sealed partial class DocumentedNamesTests
{
    [Test]
    public async Task Every_instrument_is_documented_as_it_is()
    {
        var instruments = new List<Instrument>();
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var factory = services.GetRequiredService<IMeterFactory>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (ReferenceEquals(instrument.Meter, factory.Create("Exporter.Engine")))
                {
                    instruments.Add(instrument);
                }
            },
        };
        _ = new EngineMetrics(factory);
        listener.Start();
        var table = string.Concat(
            instruments.OrderBy(instrument => instrument.Name, StringComparer.Ordinal)
                .Select(instrument => $"| `{instrument.Name}` | {KindOf(instrument)} | {instrument.Unit} | {instrument.Description} |\n")
                .Prepend("| instrument | kind | unit | what it tells |\n| --- | --- | --- | --- |\n"));
        var text = await File.ReadAllTextAsync(Page());
        var expected = Table().Replace(text, "<!-- instruments -->\n" + table + "\n");
        if (Environment.GetEnvironmentVariable("UPDATE_TEXTS") == "1")
        {
            await File.WriteAllTextAsync(Page(), expected);
            return;
        }

        Assert.That(instruments, Has.Count.GreaterThan(10));
        Assert.That(text, Is.EqualTo(expected), "docs/observability.md; UPDATE_TEXTS=1 writes the table anew");
    }

    [Test]
    public async Task Every_span_is_documented_with_its_tags()
    {
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Exporter.Engine",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
        };
        ActivitySource.AddActivityListener(listener);
        var claimed = new ClaimedRun(Guid.NewGuid(), "{workflow}", 1, 0, false, [], null)
        {
            Queue = "q", Priority = 0, DueAt = default, Version = 1, RunAttempt = 1, HasParent = false, HasChildren = false,
        };
        using var run = EngineTracing.Run(claimed);
        using var attempt = EngineTracing.Attempt(claimed.RunId, "{step}", 0, 1);
        var rows = new[] { run!, attempt! }.Select(span => $"| `{span.DisplayName}` | {span.Kind} | {string.Join(", ", span.TagObjects.Select(tag => $"`{tag.Key}`"))} |");
        var documented = (await File.ReadAllLinesAsync(Page())).Where(line => line.Contains("| Consumer |") || line.Contains("| Internal |"));
        Assert.That(documented, Is.EqualTo(rows));
    }

    private static string KindOf(Instrument instrument) => instrument.GetType().Name.Split('`')[0] switch
    {
        "ObservableGauge" => "gauge",
        var name => name.ToLowerInvariant(),
    };

    private static string Page([CallerFilePath] string file = "") => Path.Combine(Path.GetDirectoryName(file)!, "../../docs/observability.md");

    [GeneratedRegex(@"<!-- instruments -->\n(\|.*\n)*\n")]
    private static partial Regex Table();
}
