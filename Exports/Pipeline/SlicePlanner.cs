using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>A part of a range with the rows that were counted in it.</summary>
/// <param name="Range">The part.</param>
/// <param name="Rows">Its rows; more than 0, unless it is the whole of an empty range.</param>
internal sealed record Piece(DataInterval Range, long Rows);

/// <summary>Cuts a range into pieces of about equal rows. Pure: the same counts give the same pieces.</summary>
internal static class SlicePlanner
{
    /// <summary>A bucket with more rows than this many targets stands alone, so that it can be cut finer.</summary>
    public const int HeavyFactor = 2;

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
        var rows = 0L;
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
            pieces.Add(new Piece(new DataInterval(start, end), rows));
            start = end;
            rows = 0;
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

    /// <summary>How many hash buckets make slices of about the target; from 1 to 1,000.</summary>
    public static int HashBuckets(long rows, long target) => (int)Math.Clamp((rows + target - 1) / target, 1, 1000);

    /// <summary>Numbers pieces and hash buckets of pieces as the slices of a run.</summary>
    public static IReadOnlyList<Slice> Number(IEnumerable<(DataInterval Range, int Bucket, int Buckets, long Rows)> parts) =>
        [.. parts.Select((part, number) => new Slice
        {
            Number = number, Range = part.Range, HashBucket = part.Bucket, HashBuckets = part.Buckets, ExpectedRows = part.Rows,
        })];

    private static DateTimeOffset Earlier(DateTimeOffset one, DateTimeOffset other) => one < other ? one : other;
}
