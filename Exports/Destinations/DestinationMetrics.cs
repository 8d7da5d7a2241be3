using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Exporter.Exports.Destinations;

/// <summary>The exports' meter, <c>Exporter.Exports</c>: what goes to destinations. Tags are the kind of destination and of error; never names or ids.</summary>
internal sealed class DestinationMetrics
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "Exporter.Exports";

    private readonly Counter<long> _bytes;
    private readonly Counter<long> _rows;
    private readonly Counter<long> _commits;
    private readonly Histogram<double> _duration;
    private readonly Counter<long> _errors;

    public DestinationMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _bytes = meter.CreateCounter<long>("exporter.exports.destination.sent", "By", "Bytes that were sent to destinations, also by attempts that failed.");
        _rows = meter.CreateCounter<long>("exporter.exports.destination.rows", "{row}", "Rows of committed slices.");
        _commits = meter.CreateCounter<long>("exporter.exports.destination.commits", "{slice}", "Slices that were committed.");
        _duration = meter.CreateHistogram<double>("exporter.exports.destination.commit.duration", "s", "How long the commit of a slice took, with what was still to be sent.");
        _errors = meter.CreateCounter<long>("exporter.exports.destination.errors", "{error}", "Errors of destinations, by kind: transient, throttled, user or bug.");
    }

    public void Sent(string destination, long bytes) => _bytes.Add(bytes, Of(destination));

    public void Committed(string destination, long rows, TimeSpan took)
    {
        _rows.Add(rows, Of(destination));
        _commits.Add(1, Of(destination));
        _duration.Record(took.TotalSeconds, Of(destination));
    }

    public void Failed(string destination, ErrorKind kind) =>
        _errors.Add(1, new TagList { { "destination", destination }, { "kind", kind.ToString().ToLowerInvariant() } });

    private static KeyValuePair<string, object?> Of(string destination) => new("destination", destination);
}
