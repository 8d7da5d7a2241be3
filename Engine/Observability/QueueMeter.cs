using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Exporter.Engine.Observability;

/// <summary>
/// How much waits in the queues of this process's workers. Each worker looks at its own queue when it sweeps, and only while
/// somebody listens; so the gauges cost nothing otherwise, and never ask the database themselves.
/// </summary>
internal sealed class QueueMeter
{
    private readonly ConcurrentDictionary<string, (long Depth, double Age)> _queues = new(StringComparer.Ordinal);
    private readonly ObservableGauge<long> _depth;
    private readonly ObservableGauge<double> _age;

    public QueueMeter(Meter meter)
    {
        _depth = meter.CreateObservableGauge(
            "exporter.engine.queue.depth", () => Observe(queue => queue.Depth), "{run}",
            "Runs of a queue that are due and wait for a slot, counted up to 100,000. Every worker of a queue tells the same: take the maximum.");
        _age = meter.CreateObservableGauge(
            "exporter.engine.queue.age", () => Observe(queue => queue.Age), "s",
            "For how long the oldest run that waits for a slot has been due; 0 when none waits. Take the maximum.");
    }

    /// <summary>Whether somebody listens.</summary>
    public bool IsObserved => _depth.Enabled || _age.Enabled;

    public void Seen(string queue, long depth, TimeSpan age) => _queues[queue] = (depth, age.TotalSeconds);

    /// <summary>What was seen of a queue is no longer kept up to date: better nothing than something old.</summary>
    public void Forget(string queue) => _queues.TryRemove(queue, out _);

    private IEnumerable<Measurement<T>> Observe<T>(Func<(long Depth, double Age), T> value)
        where T : struct => _queues.Select(queue => new Measurement<T>(value(queue.Value), new KeyValuePair<string, object?>("queue", queue.Key)));
}
