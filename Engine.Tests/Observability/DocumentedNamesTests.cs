using System.Diagnostics;
using System.Runtime.CompilerServices;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;

namespace Exporter.Engine.Tests.Observability;

/// <summary>docs/observability.md names every instrument and span, and no other; <c>UPDATE_TEXTS=1</c> writes the table of instruments anew.</summary>
public sealed class DocumentedNamesTests
{
    [Test]
    public Task Every_instrument_is_documented_as_it_is() =>
        InstrumentTable.CheckAsync(Page(), "Exporter.Engine", "<!-- instruments -->", factory => _ = new EngineMetrics(factory), atLeast: 10);

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

    private static string Page([CallerFilePath] string file = "") => Path.Combine(Path.GetDirectoryName(file)!, "../../docs/observability.md");
}
