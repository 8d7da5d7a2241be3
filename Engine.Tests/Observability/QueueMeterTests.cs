using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workers;

namespace Exporter.Engine.Tests.Observability;

/// <summary>How much waits in a queue is told to who listens, and nobody is asked otherwise.</summary>
public sealed class QueueMeterTests
{
    private static readonly WorkerOptions Full = CodeWorker.Patient with { Slots = 1 };

    [Test]
    public async Task Who_listens_hears_how_much_waits_in_a_queue_and_for_how_long()
    {
        await using var database = await TestDatabase.NewAsync();
        var seen = new ConcurrentDictionary<string, double>();
        using var listener = Listen(seen);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var worker = await CodeWorker.StartAsync(database, (run, input) => run.StepAsync("hold", async step =>
        {
            await release.Task.WaitAsync(step.CancellationToken);
            return input;
        }), Full);
        var first = await worker.BeginAsync();
        await worker.IsAsync(first, RunState.Running);
        await worker.BeginAsync();
        await worker.BeginAsync(options: new StartOptions { ConcurrencyKey = "k" });
        await worker.BeginAsync(options: new StartOptions { StartAt = DateTimeOffset.MaxValue.AddYears(-1) });
        await database.ExecuteAsync("update engine.live_run set due_at = due_at - interval '1 hour' where state = 'queued'");
        await Eventually.TrueAsync(() => Value("depth") == 2, "two are due and wait: neither the one that executes nor the one of later");
        Assert.That(Value("age"), Is.InRange(3600, 3700));
        release.SetResult();
        await Eventually.TrueAsync(() => Value("depth") == 0 && Value("age") == 0, "all went through");
        await worker.StopAsync();
        Assert.That(Value("depth"), Is.Null, "a worker that has stopped tells nothing any more");

        double? Value(string what)
        {
            seen.Clear();
            listener.RecordObservableInstruments();
            return seen.TryGetValue($"exporter.engine.queue.{what} test", out var value) ? value : null;
        }
    }

    [Test]
    public void While_nobody_listens_queues_are_not_observed()
    {
        using var meter = new Meter("Exporter.Engine");
        var queues = new QueueMeter(meter);
        Assert.That(queues.IsObserved, Is.False);
        using (Listen([]))
        {
            Assert.That(queues.IsObserved, Is.True);
        }

        Assert.That(queues.IsObserved, Is.False);
    }

    private static MeterListener Listen(ConcurrentDictionary<string, double> seen)
    {
        var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == "Exporter.Engine" && instrument is ObservableInstrument<long> or ObservableInstrument<double>)
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => seen[$"{instrument.Name} {tags[0].Value}"] = value);
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => seen[$"{instrument.Name} {tags[0].Value}"] = value);
        listener.Start();
        return listener;
    }
}
