using System.Globalization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Cli;

/// <summary>
/// What ClickHouse reads for a run at this moment, for people who watch: rows count as exported only once their slice is committed,
/// which of a large slice is long after it began. Best effort: without a source, or when it does not answer, there is nothing to tell.
/// </summary>
internal sealed class SourceReading : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly ClickHouseSource? _source;
    private readonly string _prefix;
    private long _askedAt;
    private string _text = "";

    public SourceReading(Session session, Guid runId)
    {
        _prefix = QueryNames.Prefix(runId);
        try
        {
            _source = session.Settings.Find("clickhouse") is null ? null : session.OpenSource();
        }
        catch (UserErrorException)
        {
            // Whoever only watches needs no source.
        }
    }

    /// <summary>Such as ", ClickHouse has read 1,200,000 rows for 3 slices in progress"; empty when there is nothing to tell.</summary>
    public async Task<string> TextAsync(CancellationToken cancellationToken)
    {
        if (_source is null || (_askedAt != 0 && TimeProvider.System.GetElapsedTime(_askedAt) < Interval))
        {
            return _text;
        }

        _askedAt = TimeProvider.System.GetTimestamp();
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(Patience);
            var reading = await _source.ProgressOfAllAsync(_prefix, patience.Token).ConfigureAwait(false);
            _text = Text([.. reading.Where(one => QueryNames.IsOfSlice(one.QueryId, _prefix))]);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested && (error is OperationCanceledException || SourceErrors.Classify(error) is not null))
        {
            _text = "";
        }

        return _text;
    }

    // What planning reads stands in exports.runs.
    private static string Text(IReadOnlyList<QueryProgress> reading) => reading.Count == 0 ? "" : string.Create(
        CultureInfo.InvariantCulture,
        $", ClickHouse has read {reading.Sum(one => one.ReadRows):N0} rows for {reading.Count} slice{(reading.Count == 1 ? "" : "s")} in progress");

    public void Dispose() => _source?.Dispose();
}
