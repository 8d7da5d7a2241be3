using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Exporter.Engine.Observability;

/// <summary>The engine's meter, <c>Exporter.Engine</c>. Tags are workflow, queue and outcome; never ids.</summary>
internal sealed class EngineMetrics
{
    private readonly Counter<long> _runs;
    private readonly Counter<long> _claimed;
    private readonly Histogram<long> _batch;
    private readonly Histogram<double> _commit;
    private readonly Counter<long> _attempts;
    private readonly Counter<long> _refused;
    private readonly Counter<long> _leases;
    private readonly Histogram<double> _duration;
    private readonly Counter<long> _occurrences;
    private readonly Histogram<double> _scheduleLag;
    private readonly Counter<long> _rebuilt;

    public EngineMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Exporter.Engine");
        _runs = meter.CreateCounter<long>("exporter.engine.runs.left", "{run}", "Runs that left a worker, by what became of them.");
        _claimed = meter.CreateCounter<long>("exporter.engine.runs.claimed", "{run}", "Runs that workers took.");
        _batch = meter.CreateHistogram<long>("exporter.engine.commit.size", "{write}", "Writes that travelled in one transaction.");
        _commit = meter.CreateHistogram<double>("exporter.engine.commit.duration", "s", "How long a transaction of writes took.");
        _attempts = meter.CreateCounter<long>("exporter.engine.attempts", "{attempt}", "Attempts of steps, by outcome.");
        _refused = meter.CreateCounter<long>("exporter.engine.writes.refused", "{write}", "Writes under an epoch that had passed.");
        _leases = meter.CreateCounter<long>("exporter.engine.leases.lost", "{lease}", "Leases of workers that ended without being given back.");
        _duration = meter.CreateHistogram<double>("exporter.engine.attempt.duration", "s", "How long attempts took.");
        _occurrences = meter.CreateCounter<long>("exporter.engine.schedule.occurrences", "{occurrence}", "Decisions about occurrences of schedules, by outcome.");
        _scheduleLag = meter.CreateHistogram<double>("exporter.engine.schedule.lag", "s", "How late schedules decided: from when an occurrence was due.");
        _rebuilt = meter.CreateCounter<long>("exporter.engine.index.rebuilds", "{index}", "Rebuilds of indexes, and vacuums of tables, that were large and mostly empty, by outcome.");
        Queues = new QueueMeter(meter);
    }

    /// <summary>What waits in queues.</summary>
    public QueueMeter Queues { get; }

    public void RunLeft(string workflow, string outcome) => _runs.Add(1, new("workflow", workflow), new("outcome", outcome));

    public void RunsClaimed(string queue, long count) => _claimed.Add(count, new KeyValuePair<string, object?>("queue", queue));

    public void Committed(long writes, TimeSpan took)
    {
        _batch.Record(writes);
        _commit.Record(took.TotalSeconds);
    }

    public void AttemptEnded(string workflow, string outcome, TimeSpan took)
    {
        if (!_attempts.Enabled && !_duration.Enabled)
        {
            return;
        }

        var tags = new TagList { { "workflow", workflow }, { "outcome", outcome } };
        _attempts.Add(1, tags);
        _duration.Record(took.TotalSeconds, tags);
    }

    public void WritesRefused(long count) => _refused.Add(count);

    public void LeaseLost(string queue) => _leases.Add(1, new KeyValuePair<string, object?>("queue", queue));

    public void IndexRebuilt(string outcome) => _rebuilt.Add(1, new KeyValuePair<string, object?>("outcome", outcome));

    public void OccurrenceDecided(string workflow, string outcome) => _occurrences.Add(1, new("workflow", workflow), new("outcome", outcome));

    public void ScheduleDecided(string workflow, TimeSpan lag) => _scheduleLag.Record(lag.TotalSeconds, new KeyValuePair<string, object?>("workflow", workflow));
}
