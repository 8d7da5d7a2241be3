using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// Splits a slice that is too much for the source, or takes too long, in two. The halves hold the slice's rows, each once; what
/// they are is recorded before one of them is exported, and their numbers follow from the slice's.
/// </summary>
internal sealed class SliceSplitter(ClickHouseSource source)
{
    // A server that is busy with others' queries, or does not answer, may be better soon.
    private const int PatientAttempts = 3;

    private const int Buckets = 500;

    /// <summary>Whether the source says that a query wants too much of it: memory, time, rows or bytes.</summary>
    public static bool TooMuch(SourceException error) => SourceErrors.IsTooMuch(error);

    /// <summary>Whether an attempt failed in a way that smaller slices help against.</summary>
    public static bool Asks(Exception error, int attempt) => error switch
    {
        SliceTooLargeException => true,
        SourceException source when TooMuch(source) =>
            attempt >= PatientAttempts || !source.Text.Contains("(total)", StringComparison.OrdinalIgnoreCase),
        TimeoutException => attempt >= PatientAttempts,
        _ => false,
    };

    /// <summary>Whether something tells the rows of a slice apart.</summary>
    public async Task<bool> CanSplitAsync(RunWork work, Slice slice, CancellationToken cancellationToken) =>
        SlicePlanner.FirstHalf(slice.Number, work.Planned) is not null
        && await PartsAsync(work.Order.Export.Model, slice, cancellationToken).ConfigureAwait(false) is not null;

    /// <summary>The halves of a slice; null when nothing tells its rows apart.</summary>
    /// <param name="model">The export's model.</param>
    /// <param name="slice">The slice.</param>
    /// <param name="planned">How many slices the run's plan has.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    public async Task<IReadOnlyList<Slice>?> SplitAsync(SourceModel model, Slice slice, int planned, CancellationToken cancellationToken)
    {
        if (SlicePlanner.FirstHalf(slice.Number, planned) is not { } number
            || await PartsAsync(model, slice, cancellationToken).ConfigureAwait(false) is not var (first, second))
        {
            return null;
        }

        return
        [
            await CountedAsync(model, slice.PartOf(first, number), cancellationToken).ConfigureAwait(false),
            await CountedAsync(model, slice.PartOf(second, number + 1), cancellationToken).ConfigureAwait(false),
        ];
    }

    private async Task<(Part First, Part Second)?> PartsAsync(SourceModel model, Slice slice, CancellationToken cancellationToken)
    {
        if (slice.HashBuckets == 1 && RunPlanner.MayCutByCursor(model))
        {
            // As the planner does, finer with each look, while all rows lie in one bucket.
            var finest = model.KeyColumns.Count > 0 ? RunPlanner.Finest : TimeSpan.FromMicroseconds(1);
            var range = slice.Range;
            for (var width = SlicePlanner.Width(range, Buckets); range.End - range.Start > finest; width = SlicePlanner.Width(range, Buckets))
            {
                var counts = await CountAsync(model, range, width, cancellationToken).ConfigureAwait(false);
                if (counts is null || counts.Count == 0)
                {
                    return SlicePlanner.HalvesByCursor(slice, range.Start + TimeSpan.FromTicks((range.End - range.Start).Ticks / 2));
                }

                if (SlicePlanner.Middle(range, width, counts) is { } cut)
                {
                    return SlicePlanner.HalvesByCursor(slice, cut);
                }

                var start = range.Start + (width * counts[0].Number);
                range = new DataInterval(start, start + width < range.End ? start + width : range.End);
                if (width <= finest)
                {
                    break;
                }
            }
        }

        return model.KeyColumns.Count > 0 ? SlicePlanner.HalvesByHash(slice) : null;
    }

    private async Task<IReadOnlyList<BucketCount>?> CountAsync(SourceModel model, DataInterval range, TimeSpan width, CancellationToken cancellationToken)
    {
        try
        {
            return await source.CountByCursorAsync(model, range, width, cancellationToken).ConfigureAwait(false);
        }
        catch (SourceException error) when (TooMuch(error))
        {
            return null;
        }
    }

    // What cannot even be counted is split further when its turn comes, and counted at the run's end.
    private async Task<Slice> CountedAsync(SourceModel model, Slice half, CancellationToken cancellationToken)
    {
        try
        {
            var count = await source.CountSliceAsync(model, half, cancellationToken).ConfigureAwait(false);
            return half with { ExpectedRows = count.Rows, ExpectedKeyHash = count.KeyHash };
        }
        catch (SourceException error) when (TooMuch(error))
        {
            return half;
        }
    }
}

/// <summary>An attempt of a slice took too long, or made too large a file.</summary>
internal sealed class SliceTooLargeException(string message) : Exception(message);
