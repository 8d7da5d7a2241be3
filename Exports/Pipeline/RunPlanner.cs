using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>Asks the source how its rows are spread over the interval, and cuts it into slices.</summary>
internal sealed class RunPlanner(ClickHouseSource source, SliceCounter counter)
{
    private const int Buckets = 500;

    // The record of a run holds its slices, and each is a step.
    private const int MostSlices = 10_000;

    /// <summary>No cursor range is cut finer than this where there is a key; a heavier one is cut by its hash.</summary>
    public static readonly TimeSpan Finest = TimeSpan.FromSeconds(1);

    /// <summary>Plans a run.</summary>
    /// <param name="export">The batch export.</param>
    /// <param name="interval">The data interval.</param>
    /// <param name="writtenRowBytes">Bytes of a row as earlier runs wrote it to the destination; null when there were none.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    public async Task<ExportPlan> PlanAsync(BatchExport export, DataInterval interval, double? writtenRowBytes, CancellationToken cancellationToken)
    {
        var model = export.Model;
        var columns = await source.DescribeAsync(model, cancellationToken).ConfigureAwait(false);
        if (await source.RowBytesAsync(model, columns, interval, cancellationToken).ConfigureAwait(false) is not { } rowBytes)
        {
            // Rows may come to it yet, and a later look has to find them.
            return new ExportPlan(columns, SlicePlanner.Number([new Part(interval, 0, 1, 0, 0)]));
        }

        var target = SlicePlanner.TargetRows(export.Settings, rowBytes, writtenRowBytes);
        var parts = new List<Part>();
        if (MayCutByCursor(model))
        {
            await CutAsync(interval, SlicePlanner.Width(interval, Buckets)).ConfigureAwait(false);
        }
        else
        {
            var all = await counter.ByHashAsync(model, interval, 1, cancellationToken).ConfigureAwait(false);
            await HashAsync(interval, all[0].Rows).ConfigureAwait(false);
        }

        return new ExportPlan(columns, SlicePlanner.Number(parts)) { ExpectedBytes = (long)(parts.Sum(part => (double)part.Rows) * rowBytes) };

        // Each look is finer than the one before, also when all rows lie in one bucket and the piece is the whole range again.
        async Task CutAsync(DataInterval range, TimeSpan width)
        {
            var counts = await counter.ByCursorAsync(model, range, width, cancellationToken).ConfigureAwait(false);
            target = Math.Max(target, counts.Sum(bucket => bucket.Rows) / MostSlices);
            var pieces = SlicePlanner.Cut(range, width, counts, target);
            if (pieces.Count == 0 && range != interval)
            {
                // Its rows have gone since they were counted; without it the plan would have a gap.
                pieces = [new Piece(range, 0, 0)];
            }

            foreach (var piece in pieces)
            {
                if (!SlicePlanner.IsHeavy(piece.Rows, target))
                {
                    parts.Add(new Part(piece.Range, 0, 1, piece.Rows, piece.KeyHash));
                }
                else if (width > (model.KeyColumns.Count > 0 ? Finest : TimeSpan.FromMicroseconds(1)))
                {
                    await CutAsync(piece.Range, SlicePlanner.Width(new DataInterval(interval.Start, interval.Start + width), Buckets)).ConfigureAwait(false);
                }
                else if (model.KeyColumns.Count > 0)
                {
                    await HashAsync(piece.Range, piece.Rows).ConfigureAwait(false);
                }
                else
                {
                    // Nothing tells these rows apart, so they stay together.
                    parts.Add(new Part(piece.Range, 0, 1, piece.Rows, piece.KeyHash));
                }
            }
        }

        // A bucket without rows is a slice too: rows may come to it before it is read.
        async Task HashAsync(DataInterval range, long rows)
        {
            var buckets = SlicePlanner.HashBuckets(rows, target);
            var counts = await counter.ByHashAsync(model, range, buckets, cancellationToken).ConfigureAwait(false);
            parts.AddRange(counts.Select(count => new Part(range, (int)count.Number, buckets, count.Rows, count.KeyHash)));
        }
    }

    // Rows of one key must be in one slice, or dedup would see only some of them; rows of different cursor values may be of
    // one key unless the cursor is a part of the key. FINAL looks at the whole table before the range is applied.
    public static bool MayCutByCursor(SourceModel model) =>
        model.Dedup is Dedup.None or Dedup.Final || model.KeyColumns.Contains(model.CursorColumn);
}
