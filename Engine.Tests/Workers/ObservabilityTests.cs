using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Workers;

/// <summary>What a run does can be seen in its log, in traces and in metrics.</summary>
public sealed class ObservabilityTests
{
    [Test]
    public async Task What_code_writes_to_its_logger_stands_in_the_log_of_its_run()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await TestWorker.StartAsync(
            database.ConnectionString, engine => engine.AddWorkflow<Talkative>("code"), CodeWorker.Patient);
        var run = await worker.BeginAsync(7);
        var other = await worker.BeginAsync(8);
        await worker.ResultAsync(run);
        await worker.ResultAsync(other);
        await Eventually.TrueAsync(async () => (await worker.Client.LogAsync(run)).Count >= 3, "the lines are there");
        var lines = (await worker.Client.LogAsync(run)).Select(line => $"{line.Level} {line.Step} {line.Message}");
        Assert.That(lines, Is.EqualTo(new[] { "information  begins with 7", "warning work careful with 7 broken", "information  ends with 7" }));
    }

    [Test]
    public async Task A_claim_is_a_span_and_its_attempts_stand_in_it()
    {
        var spans = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Exporter.Engine",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, (run, input) => run.StepAsync(
            "flaky",
            step => step.Attempt == 1 ? throw new IOException("broken") : Task.FromResult(input),
            new StepOptions { Retry = new RetryPolicy { InitialInterval = TimeSpan.FromMilliseconds(10) } }));
        var run = await worker.BeginAsync();
        await worker.ResultAsync(run);
        await Eventually.TrueAsync(() => Mine().Count == 3, "all spans have ended");
        var all = Mine();
        var claim = all.Single(span => span.DisplayName == "run code");
        var attempts = all.Where(span => span.DisplayName == "step flaky").OrderBy(span => span.GetTagItem("exporter.attempt")).ToList();
        Assert.That(attempts.Select(span => span.ParentSpanId), Is.All.EqualTo(claim.SpanId));
        Assert.That(attempts.Select(span => span.Status), Is.EqualTo(new[] { ActivityStatusCode.Error, ActivityStatusCode.Ok }));
        Assert.That(attempts[0].StatusDescription, Is.EqualTo("broken"));
        Assert.That(claim.Status, Is.EqualTo(ActivityStatusCode.Ok));

        List<Activity> Mine() => [.. spans.Where(span => Equals(span.GetTagItem("exporter.run_id"), run))];
    }

    [Test]
    public async Task Metrics_have_the_documented_names_and_no_ids()
    {
        var seen = new ConcurrentDictionary<string, string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == "Exporter.Engine")
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, _, tags, _) => Add(instrument, tags));
        listener.SetMeasurementEventCallback<double>((instrument, _, tags, _) => Add(instrument, tags));
        listener.Start();
        await using var database = await TestDatabase.NewAsync();
        await using (var worker = await CodeWorker.StartAsync(database, (run, input) => run.StepAsync("one", _ => Task.FromResult(input))))
        {
            await worker.ResultAsync(await worker.BeginAsync());
        }

        foreach (var name in new[] { "runs.claimed", "runs.left", "attempts", "attempt.duration", "commit.size", "commit.duration" })
        {
            Assert.That(seen, Does.ContainKey("exporter.engine." + name));
        }

        Assert.That(string.Join(' ', seen.Values), Does.Not.Match("[0-9a-f]{8}-[0-9a-f]{4}"));

        void Add(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
            seen[instrument.Name] = string.Join(' ', tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}"));
    }

    internal sealed class Talkative(ILogger<Talkative> logger) : IWorkflow<int, int>
    {
        public async Task<int> RunAsync(IWorkflowContext run, int input)
        {
            logger.LogInformation("begins with {Input}", input);
            await run.StepAsync("work", step =>
            {
                logger.LogWarning(new IOException("broken"), "careful with {Input}", input);
                logger.LogDebug("not of interest");
                return Task.CompletedTask;
            });
            logger.LogInformation("ends with {Input}", input);
            return input;
        }
    }
}
