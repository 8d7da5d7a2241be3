using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>Asks the source how its rows are spread over the interval, and cuts it into slices.</summary>
internal sealed class RunPlanner(ClickHouseSource source)
{
    private const int Buckets = 500;

    /// <summary>No cursor range is cut finer than this; a heavier one is cut by hash of the key.</summary>
    private static readonly TimeSpan Finest = TimeSpan.FromSeconds(1);

    /// <summary>Plans a run.</summary>
    /// <param name="export">The batch export.</param>
    /// <param name="interval">The data interval.</param>
    /// <param name="beat">Called between queries, as a sign of life.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    public async Task<ExportPlan> PlanAsync(BatchExport export, DataInterval interval, Action beat, CancellationToken cancellationToken)
    {
        var model = export.Model;
        var columns = await source.DescribeAsync(model, cancellationToken).ConfigureAwait(false);
        beat();
        if (await source.RowBytesAsync(model, columns, interval, cancellationToken).ConfigureAwait(false) is not { } rowBytes)
        {
            return new ExportPlan(columns, []);
        }

        beat();
        var target = Math.Max(1, (long)(export.Settings.TargetSliceBytes / Math.Max(rowBytes, 1)));
        var parts = new List<(DataInterval, int, int, long)>();
        if (MayCutByCursor(model))
        {
            await CutAsync(interval).ConfigureAwait(false);
        }
        else
        {
            var all = await source.CountByHashAsync(model, interval, 1, cancellationToken).ConfigureAwait(false);
            await HashAsync(interval, all.Sum(bucket => bucket.Rows)).ConfigureAwait(false);
        }

        return new ExportPlan(columns, SlicePlanner.Number(parts));

        async Task CutAsync(DataInterval range)
        {
            var width = SlicePlanner.Width(range, Buckets);
            var counts = await source.CountByCursorAsync(model, range, width, cancellationToken).ConfigureAwait(false);
            beat();
            foreach (var piece in SlicePlanner.Cut(range, width, counts, target))
            {
                if (!SlicePlanner.IsHeavy(piece.Rows, target))
                {
                    parts.Add((piece.Range, 0, 1, piece.Rows));
                }
                else if (piece.Range.End - piece.Range.Start > Finest && piece.Range != range)
                {
                    await CutAsync(piece.Range).ConfigureAwait(false);
                }
                else if (model.KeyColumns.Count > 0)
                {
                    await HashAsync(piece.Range, piece.Rows).ConfigureAwait(false);
                }
                else
                {
                    // Nothing tells these rows apart, so they stay together.
                    parts.Add((piece.Range, 0, 1, piece.Rows));
                }
            }
        }

        async Task HashAsync(DataInterval range, long rows)
        {
            var buckets = SlicePlanner.HashBuckets(rows, target);
            var counts = await source.CountByHashAsync(model, range, buckets, cancellationToken).ConfigureAwait(false);
            beat();
            parts.AddRange(counts.Select(count => (range, (int)count.Number, buckets, count.Rows)));
        }
    }

    /// <summary>Counts the rows of a slice again, now.</summary>
    public async Task<long> RecountAsync(BatchExport export, Slice slice, CancellationToken cancellationToken)
    {
        var counts = slice.HashBuckets > 1
            ? await source.CountByHashAsync(export.Model, slice.Range, slice.HashBuckets, cancellationToken).ConfigureAwait(false)
            : await source.CountByCursorAsync(export.Model, slice.Range, slice.Range.End - slice.Range.Start, cancellationToken).ConfigureAwait(false);
        return counts.Where(count => slice.HashBuckets == 1 || count.Number == slice.HashBucket).Sum(count => count.Rows);
    }

    // Rows of one key must be in one slice, or dedup would see only some of them; rows of different cursor values may be of
    // one key unless the cursor is a part of the key.
    private static bool MayCutByCursor(SourceModel model) =>
        model.Dedup == Dedup.None || model.KeyColumns.Contains(model.CursorColumn);
}
