using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// Counts rows and keys at the source. What the source cannot count in one go (memory, time) is counted in halves: rows and hashes of
/// keys add up.
/// </summary>
internal sealed class SliceCounter(ClickHouseSource source)
{
    // So many slices in one query: their starts are bound as one value.
    private const int MostStarts = 1_000;
    private const int DeepestHalves = 12;

    /// <summary>Rows after dedup by bucket of the cursor column, as <see cref="ClickHouseSource.CountByCursorAsync"/>.</summary>
    public async Task<IReadOnlyList<BucketCount>> ByCursorAsync(
        SourceModel model, DataInterval range, TimeSpan width, CancellationToken cancellationToken)
    {
        try
        {
            return await source.CountByCursorAsync(model, range, width, cancellationToken).ConfigureAwait(false);
        }
        catch (SourceException error) when (SliceSplitter.TooMuch(error) && range.End - range.Start > width)
        {
            // Cut between buckets, so that each bucket is counted whole.
            var half = ((range.End - range.Start).Ticks / width.Ticks + 1) / 2;
            var cut = range.Start + (width * half);
            var first = await ByCursorAsync(model, new DataInterval(range.Start, cut), width, cancellationToken).ConfigureAwait(false);
            var second = await ByCursorAsync(model, new DataInterval(cut, range.End), width, cancellationToken).ConfigureAwait(false);
            return [.. first, .. second.Select(bucket => bucket with { Number = bucket.Number + half })];
        }
    }

    /// <summary>Rows after dedup by hash bucket of the key, from 0; buckets without rows are there too.</summary>
    public async Task<IReadOnlyList<BucketCount>> ByHashAsync(SourceModel model, DataInterval range, int buckets, CancellationToken cancellationToken)
    {
        try
        {
            var found = await source.CountByHashAsync(model, range, buckets, cancellationToken).ConfigureAwait(false);
            var byNumber = found.ToDictionary(count => count.Number);
            return [.. Enumerable.Range(0, buckets).Select(bucket => byNumber.GetValueOrDefault(bucket, new BucketCount(bucket, 0)))];
        }
        catch (SourceException error) when (SliceSplitter.TooMuch(error) && model.KeyColumns.Count > 0)
        {
            var counts = new BucketCount[buckets];
            for (var bucket = 0; bucket < buckets; bucket++)
            {
                var slice = new Slice { Number = 0, Range = range, HashBucket = bucket, HashBuckets = buckets, ExpectedRows = 0 };
                counts[bucket] = await OneAsync(model, slice, DeepestHalves, cancellationToken).ConfigureAwait(false) with { Number = bucket };
            }

            return counts;
        }
    }

    /// <summary>What the source has of slices now, in their order.</summary>
    public async Task<IReadOnlyList<BucketCount>> NowAsync(SourceModel model, IReadOnlyList<Slice> slices, CancellationToken cancellationToken)
    {
        var counts = new Dictionary<int, BucketCount>();

        // Ranges of the cursor, many in one query; then the hash buckets of a range, together.
        foreach (var some in slices.Where(slice => slice.HashBuckets == 1).OrderBy(slice => slice.Range.Start).Chunk(MostStarts))
        {
            foreach (var (slice, count) in some.Zip(await ByStartAsync(model, some, cancellationToken).ConfigureAwait(false)))
            {
                counts[slice.Number] = count;
            }
        }

        foreach (var group in slices.Where(slice => slice.HashBuckets > 1).GroupBy(slice => (slice.Range, slice.HashBuckets)))
        {
            var (range, buckets) = group.Key;
            var all = group.Take(2).Count() == 1
                ? null
                : await ByHashAsync(model, range, buckets, cancellationToken).ConfigureAwait(false);
            foreach (var slice in group)
            {
                counts[slice.Number] = all?[slice.HashBucket] ?? await OneAsync(model, slice, DeepestHalves, cancellationToken).ConfigureAwait(false);
            }
        }

        return [.. slices.Select(slice => counts[slice.Number])];
    }

    // Ranges in order, which need not touch: what lies between two of them counts for none.
    private async Task<IReadOnlyList<BucketCount>> ByStartAsync(SourceModel model, Slice[] slices, CancellationToken cancellationToken)
    {
        if (slices.Length == 1)
        {
            return [await OneAsync(model, slices[0], DeepestHalves, cancellationToken).ConfigureAwait(false)];
        }

        try
        {
            var starts = slices.SelectMany(slice => new[] { slice.Range.Start, slice.Range.End }).Distinct().SkipLast(1);
            var found = await source.CountByStartAsync(
                model, new DataInterval(slices[0].Range.Start, slices[^1].Range.End), starts, cancellationToken).ConfigureAwait(false);
            var byStart = found.ToDictionary(count => count.Number);
            return [.. slices.Select(slice => byStart.GetValueOrDefault(SourceQuery.Nanoseconds(slice.Range.Start)))];
        }
        catch (SourceException error) when (SliceSplitter.TooMuch(error))
        {
            var half = slices.Length / 2;
            return
            [
                .. await ByStartAsync(model, slices[..half], cancellationToken).ConfigureAwait(false),
                .. await ByStartAsync(model, slices[half..], cancellationToken).ConfigureAwait(false),
            ];
        }
    }

    private async Task<BucketCount> OneAsync(SourceModel model, Slice slice, int deeper, CancellationToken cancellationToken)
    {
        try
        {
            return await source.CountSliceAsync(model, slice, cancellationToken).ConfigureAwait(false);
        }
        catch (SourceException error) when (deeper > 0 && SliceSplitter.TooMuch(error) && model.KeyColumns.Count > 0)
        {
            if (SlicePlanner.HalvesByHash(slice) is not var (first, second))
            {
                throw;
            }

            var (one, other) = (
                await OneAsync(model, slice.PartOf(first), deeper - 1, cancellationToken).ConfigureAwait(false),
                await OneAsync(model, slice.PartOf(second), deeper - 1, cancellationToken).ConfigureAwait(false));
            return new BucketCount(0, one.Rows + other.Rows, unchecked(one.KeyHash + other.KeyHash));
        }
    }
}
