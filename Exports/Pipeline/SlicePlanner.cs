using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>A part of a range with the rows that were counted in it.</summary>
/// <param name="Range">The part.</param>
/// <param name="Rows">Its rows; more than 0, unless it is the whole of an empty range.</param>
/// <param name="KeyHash">The hash of their keys.</param>
internal sealed record Piece(DataInterval Range, long Rows, ulong KeyHash);

/// <summary>What becomes a slice: a range, or one hash bucket of it.</summary>
internal sealed record Part(DataInterval Range, int Bucket, int Buckets, long Rows, ulong? KeyHash);

/// <summary>Cuts a range into pieces of about equal rows. Pure: the same counts give the same pieces.</summary>
internal static class SlicePlanner
{
    /// <summary>A bucket with more rows than this many targets stands alone, so that it can be cut finer.</summary>
    public const int HeavyFactor = 2;

    private const int MostHashBuckets = 1 << 29;

    /// <summary>Cuts a range by its buckets. The pieces tile the range: no gap, no overlap; none is without rows.</summary>
    /// <param name="range">The range.</param>
    /// <param name="width">The width of a bucket; the last one may reach over the range's end.</param>
    /// <param name="buckets">The buckets that have rows, in order.</param>
    /// <param name="target">Rows of a piece, at least 1. A piece has fewer, or is a single bucket.</param>
    public static IReadOnlyList<Piece> Cut(DataInterval range, TimeSpan width, IReadOnlyList<BucketCount> buckets, long target)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(target, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(width, TimeSpan.Zero);
        var pieces = new List<Piece>();
        var start = range.Start;
        var (rows, hash) = (0L, 0UL);
        for (var index = 0; index < buckets.Count; index++)
        {
            var bucket = buckets[index];
            var begin = range.Start + (width * bucket.Number);
            var heavy = IsHeavy(bucket.Rows, target);
            if (rows > 0 && (rows + bucket.Rows > target || heavy))
            {
                Close(begin);
            }

            rows += bucket.Rows;
            hash = unchecked(hash + bucket.KeyHash);
            if (heavy && index < buckets.Count - 1)
            {
                Close(Earlier(begin + width, range.End));
            }
        }

        if (rows > 0)
        {
            Close(range.End);
        }

        return pieces;

        void Close(DateTimeOffset end)
        {
            pieces.Add(new Piece(new DataInterval(start, end), rows, hash));
            start = end;
            (rows, hash) = (0, 0);
        }
    }

    /// <summary>Whether a piece of so many rows wants to be cut finer.</summary>
    public static bool IsHeavy(long rows, long target) => rows > HeavyFactor * target;

    /// <summary>A bucket width that gives at most so many buckets: whole seconds where the range is long, else down to 100 ns.</summary>
    public static TimeSpan Width(DataInterval range, int buckets)
    {
        var even = ((range.End - range.Start).Ticks + buckets - 1) / buckets;
        var unit = even > TimeSpan.TicksPerSecond ? TimeSpan.TicksPerSecond : even > TimeSpan.TicksPerMillisecond ? TimeSpan.TicksPerMillisecond : 1;
        return TimeSpan.FromTicks(Math.Max(1, (even + unit - 1) / unit * unit));
    }

    /// <summary>About how many rows a slice has: as many as make the slice's bytes in the source, and no more than a file may hold, less
    /// a tenth, since rows differ. Before a first run has shown what a row becomes, it is taken to stay as large as it is.</summary>
    public static long TargetRows(ExportSettings settings, double rowBytes, double? writtenRowBytes)
    {
        var rows = settings.TargetSliceBytes / Math.Max(rowBytes, 1);
        if (settings.MaxFileBytes is { } most)
        {
            rows = Math.Min(rows, 0.9 * most / Math.Max(writtenRowBytes ?? rowBytes, 0.01));
        }

        return Math.Max(1, (long)rows);
    }

    /// <summary>How many hash buckets make slices of about the target; from 1 to 1,000.</summary>
    public static int HashBuckets(long rows, long target) => (int)Math.Clamp((rows + target - 1) / target, 1, 1000);

    /// <summary>Numbers pieces and hash buckets of pieces as the slices of a run.</summary>
    public static IReadOnlyList<Slice> Number(IEnumerable<Part> parts) =>
        [.. parts.Select((part, number) => new Slice
        {
            Number = number, Range = part.Range, HashBucket = part.Bucket, HashBuckets = part.Buckets, ExpectedRows = part.Rows,
            ExpectedKeyHash = part.KeyHash,
        })];

    /// <summary>The number of a slice's first half, the second's is one more: it follows from the slice's own number and the number of
    /// slices in the plan alone, and no other slice has it. Null when it would be too large.</summary>
    public static int? FirstHalf(int number, int planned) =>
        planned + (2L * number) is var half and < int.MaxValue ? (int)half : null;

    /// <summary>The slice of the plan that a slice is a part of.</summary>
    public static int Root(int number, int planned)
    {
        while (number >= planned)
        {
            number = (number - planned) / 2;
        }

        return number;
    }

    /// <summary>A part of a slice, as a slice of that number.</summary>
    public static Slice PartOf(this Slice slice, Part part, int number = 0) => new()
    {
        Number = number, Range = part.Range, HashBucket = part.Bucket, HashBuckets = part.Buckets, ExpectedRows = part.Rows,
        ExpectedKeyHash = part.KeyHash, SplitFrom = slice.Number,
    };

    /// <summary>Two halves of a slice's hash buckets; of a slice that has none, two halves of all keys. Null when there are so many
    /// buckets that its rows can only be of one key.</summary>
    public static (Part First, Part Second)? HalvesByHash(Slice slice)
    {
        if (slice.HashBuckets > MostHashBuckets)
        {
            return null;
        }

        var buckets = 2 * slice.HashBuckets;
        return (
            new Part(slice.Range, slice.HashBucket, buckets, slice.ExpectedRows / 2, null),
            new Part(slice.Range, slice.HashBucket + slice.HashBuckets, buckets, slice.ExpectedRows - (slice.ExpectedRows / 2), null));
    }

    /// <summary>Two halves of a slice's range, cut at an instant inside it.</summary>
    public static (Part First, Part Second) HalvesByCursor(Slice slice, DateTimeOffset cut) => (
        new Part(new DataInterval(slice.Range.Start, cut), 0, 1, slice.ExpectedRows / 2, null),
        new Part(new DataInterval(cut, slice.Range.End), 0, 1, slice.ExpectedRows - (slice.ExpectedRows / 2), null));

    /// <summary>The boundary between buckets that leaves the most even halves; null when all rows are in one bucket.</summary>
    public static DateTimeOffset? Middle(DataInterval range, TimeSpan width, IReadOnlyList<BucketCount> buckets)
    {
        var half = buckets.Sum(bucket => bucket.Rows) / 2.0;
        var (rows, best, cut) = (0L, double.MaxValue, (DateTimeOffset?)null);
        for (var index = 1; index < buckets.Count; index++)
        {
            rows += buckets[index - 1].Rows;
            if (Math.Abs(rows - half) < best)
            {
                (best, cut) = (Math.Abs(rows - half), range.Start + (width * buckets[index].Number));
            }
        }

        return cut;
    }

    private static DateTimeOffset Earlier(DateTimeOffset one, DateTimeOffset other) => one < other ? one : other;
}
