using System.Net.ServerSentEvents;
using System.Text.Json.Nodes;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Pipeline;

namespace Exporter.Exports.Tests.Api;

/// <summary>A run can be watched live, by a client that only reads a stream.</summary>
internal sealed class RunEventTests
{
    [Test]
    public async Task A_run_is_watched_from_its_queue_to_its_end()
    {
        await using var fixture = await RunFixture.NewAsync();
        await fixture.FillAsync("id UInt64, ts DateTime64(3, 'UTC'), text String", "SELECT number, toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number, repeat('x', 50) FROM numbers(20000)");
        var run = await fixture.StartRunAsync(RunFixture.Export());
        await using var server = await ApiServer.StartAsync(database: fixture.Database);
        var viewer = await server.WithKeyAsync(AccessRole.Viewer);
        using var response = await viewer.Http.GetAsync(new Uri($"projects/default/runs/{run}/events", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
        Assert.That(response.Content.Headers.ContentType?.MediaType, Is.EqualTo("text/event-stream"));
        await using var stream = await response.Content.ReadAsStreamAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var seen = new List<(string Type, JsonNode Data)>();
        await foreach (var item in SseParser.Create(stream).EnumerateAsync(limit.Token))
        {
            seen.Add((item.EventType, JsonNode.Parse(item.Data)!));
            if (seen.Count == 1)
            {
                // Only now is there somebody who executes it: what comes after was told while it happened.
                await fixture.StartAsync();
            }
        }

        Assert.That((seen[0].Type, (string?)seen[0].Data["run"]!["state"]), Is.EqualTo(("progress", "queued")));
        Assert.That((seen[^1].Type, (string?)seen[^1].Data["run"]!["state"], (int)seen[^1].Data["run"]!["exported_rows"]!), Is.EqualTo(("end", "completed", 20000)));
        Assert.That(seen.Select(one => (string?)one.Data["run"]!["state"]), Does.Contain("running"));
        Assert.That(seen.Count(one => one.Type == "end"), Is.EqualTo(1), "the stream ends with it");
        Assert.That(server.Wrong(), Is.Empty);
    }
}
