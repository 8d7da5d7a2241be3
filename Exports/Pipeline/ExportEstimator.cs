using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>Says what a run or a backfill would move. Only counts; nothing is written anywhere.</summary>
internal sealed class ExportEstimator(ClickHouseSource source, SliceCounter counter, RunStore runs)
{
    /// <summary>Estimates a range.</summary>
    /// <param name="export">The batch export.</param>
    /// <param name="range">Between two boundaries of its schedule. Null is from the earliest row of the source to the last boundary.</param>
    /// <param name="replace">Whether intervals that are covered are exported again.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    /// <exception cref="UserErrorException">The range is not one that can be exported, or the source has no rows.</exception>
    public async Task<ExportEstimate> EstimateAsync(BatchExportView export, DataInterval range, bool replace, CancellationToken cancellationToken)
    {
        var intervals = new Backfill { BatchExportId = export.BatchExportId, Range = range, Replace = replace }
            .Intervals(export.Schedule, await runs.ClockAsync(cancellationToken).ConfigureAwait(false));
        var covered = await runs.CoveredAsync(export.BatchExportId, range, cancellationToken).ConfigureAwait(false);
        var known = covered.ToHashSet();
        var wanted = intervals.Where(interval => replace || !known.Contains(interval)).ToList();

        // An own query's parameters are the whole range here; each run's are its own interval.
        var model = export.Model with { Interval = range };
        var columns = await source.DescribeAsync(model, cancellationToken).ConfigureAwait(false);
        var counts = await counter.NowAsync(
            model, [.. wanted.Select((interval, number) => new Slice { Number = number, Range = interval, ExpectedRows = 0 })], cancellationToken).ConfigureAwait(false);
        var rows = counts.Sum(count => count.Rows);
        var rowBytes = await source.RowBytesAsync(model, columns, range, cancellationToken).ConfigureAwait(false);
        var written = await runs.WrittenRowBytesAsync(export.ToBatchExport(), cancellationToken).ConfigureAwait(false);
        var pace = await runs.PaceAsync(export.BatchExportId, cancellationToken).ConfigureAwait(false);
        var target = SlicePlanner.TargetRows(export.Settings, rowBytes ?? 1, written);
        var byInterval = wanted.Zip(counts, (interval, count) => (interval, count.Rows)).ToDictionary(pair => pair.interval, pair => pair.Rows);
        return new ExportEstimate
        {
            Range = range,
            Intervals = intervals.Count,
            Covered = intervals.Count(known.Contains),
            Runs = wanted.Count,
            Rows = rows,
            SourceBytes = rowBytes is { } bytes ? (long)(bytes * rows) : null,
            WrittenBytes = written is { } each ? (long)(each * rows) : null,
            Slices = counts.Sum(count => Math.Max(1, (count.Rows + target - 1) / target)),
            Time = pace is { } perSecond ? TimeSpan.FromSeconds(Math.Ceiling(rows / perSecond)) : null,
            Columns = [.. columns.Select(column => new EstimatedColumn(column.Alias, column.Type))],
            Each = [.. intervals.Select(interval => new EstimatedInterval(
                interval.Start, interval.End, known.Contains(interval), byInterval.TryGetValue(interval, out var its) ? its : null))],
            InTheWay = [.. covered.Except(intervals)],
        };
    }

    /// <summary>A range whose open start is the boundary before the earliest row, and whose open end is the last boundary that has come.</summary>
    /// <exception cref="UserErrorException">The end is not after the start, or the source has no rows that are exported.</exception>
    public async Task<DataInterval> RangeAsync(BatchExportView export, DateTimeOffset? start, DateTimeOffset? end, CancellationToken cancellationToken)
    {
        var until = end ?? export.Schedule.LastIntervalUntil(await runs.ClockAsync(cancellationToken).ConfigureAwait(false)).End;
        return DataInterval.Between(start ?? await EarliestAsync(export, cancellationToken).ConfigureAwait(false), until);
    }

    private async Task<DateTimeOffset> EarliestAsync(BatchExportView export, CancellationToken cancellationToken)
    {
        var earliest = await source.EarliestAsync(export.Model, cancellationToken).ConfigureAwait(false) ?? throw new UserErrorException(
            "start", $"{export.Model.SourceName} has no rows that {export.Name} exports.", "Wait until there are some, or look at its filter.");
        return export.Schedule.BoundaryBefore(earliest.AddTicks(1)) ?? throw new UserErrorException(
            "start", $"The schedule has no boundary before the earliest row, of {earliest:yyyy-MM-ddTHH:mm:ssZ}.", "Give --start.");
    }
}
