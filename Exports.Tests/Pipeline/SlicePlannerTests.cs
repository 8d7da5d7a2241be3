using CsCheck;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Every row of an interval is in exactly one slice.</summary>
public sealed class SlicePlannerTests
{
    private static readonly DateTimeOffset Start = new(2026, 3, 29, 0, 0, 0, TimeSpan.Zero);

    private static readonly Gen<(int Width, int Last, int Length, long Target, (int Step, int Rows)[] Buckets)> Any =
        Gen.Select(
            Gen.Int[1, 5000], Gen.Int[0, 4999], Gen.Int[1, 200], Gen.Long[1, 1000], Gen.Select(Gen.Int[1, 5], Gen.Int[1, 3000]).Array[0, 60]);

    [Test]
    public void Pieces_tile_the_range_and_hold_every_row_once() => Any.Sample((width, last, length, target, steps) =>
    {
        var (range, buckets) = Prepare(width, last, length, steps);
        var pieces = SlicePlanner.Cut(range, TimeSpan.FromMilliseconds(width), buckets, target);
        Assert.That(pieces.Sum(piece => piece.Rows), Is.EqualTo(buckets.Sum(bucket => bucket.Rows)));
        Assert.That(pieces.All(piece => piece.Rows > 0), Is.True);
        if (buckets.Count > 0)
        {
            Assert.That(pieces[0].Range.Start, Is.EqualTo(range.Start));
            Assert.That(pieces[^1].Range.End, Is.EqualTo(range.End));
            Assert.That(pieces.Zip(pieces.Skip(1)).All(pair => pair.First.Range.End == pair.Second.Range.Start), Is.True);
        }

        foreach (var piece in pieces)
        {
            var inside = buckets.Where(bucket => BeginOf(range, width, bucket) >= piece.Range.Start && BeginOf(range, width, bucket) < piece.Range.End).ToArray();
            Assert.That(inside.Sum(bucket => bucket.Rows), Is.EqualTo(piece.Rows), "its rows are its buckets'");
            Assert.That(piece.Rows <= target || inside.Length == 1, Is.True, "too many rows only in a single bucket");
        }
    });

    [Test]
    public void The_same_counts_give_the_same_pieces() => Any.Sample((width, last, length, target, steps) =>
    {
        var (range, buckets) = Prepare(width, last, length, steps);
        Assert.That(
            SlicePlanner.Cut(range, TimeSpan.FromMilliseconds(width), buckets, target),
            Is.EqualTo(SlicePlanner.Cut(range, TimeSpan.FromMilliseconds(width), buckets, target)));
    });

    [Test]
    public void Buckets_of_the_chosen_width_cover_the_range_and_are_not_too_many() => Gen.Select(Gen.Long[1, 40_000_000_000_000], Gen.Int[1, 2000]).Sample((ticks, count) =>
    {
        var range = new DataInterval(Start, Start.AddTicks(ticks));
        var width = SlicePlanner.Width(range, count);
        Assert.That(width.Ticks * (Int128)count, Is.GreaterThanOrEqualTo((Int128)ticks));
    });

    [Test]
    public void Halves_of_halves_have_numbers_of_their_own_and_hold_every_key_once() => Gen.Select(Gen.Int[1, 50], Gen.Int[0, 200], Gen.Int[1, 7]).Sample((planned, splits, hashes) =>
    {
        var range = new DataInterval(Start, Start.AddDays(1));
        var leaves = SlicePlanner.Number(Enumerable.Range(0, planned).Select(bucket => new Part(range, bucket, planned, 10, 0))).ToList();
        var used = leaves.Select(slice => slice.Number).ToHashSet();
        for (var split = 0; split < splits; split++)
        {
            var whole = leaves[split * hashes % leaves.Count];
            if (SlicePlanner.FirstHalf(whole.Number, planned) is not { } number || SlicePlanner.HalvesByHash(whole) is not var (first, second))
            {
                continue;
            }

            leaves.Remove(whole);
            foreach (var half in new[] { whole.PartOf(first, number), whole.PartOf(second, number + 1) })
            {
                Assert.That(used.Add(half.Number), Is.True, $"{half.Number} is used twice");
                Assert.That(SlicePlanner.Root(half.Number, planned), Is.EqualTo(SlicePlanner.Root(whole.Number, planned)));
                leaves.Add(half);
            }
        }

        for (var hash = 0UL; hash < 1000; hash++)
        {
            Assert.That(leaves.Count(slice => hash * 2654435761 % (ulong)slice.HashBuckets == (ulong)slice.HashBucket), Is.EqualTo(1));
        }
    });

    [Test]
    public void The_middle_leaves_no_half_empty() => Any.Sample((width, last, length, _, steps) =>
    {
        var (range, buckets) = Prepare(width, last, length, steps);
        var middle = SlicePlanner.Middle(range, TimeSpan.FromMilliseconds(width), buckets);
        Assert.That(middle is null, Is.EqualTo(buckets.Count < 2));
        if (middle is { } cut)
        {
            var first = buckets.Where(bucket => BeginOf(range, width, bucket) < cut).Sum(bucket => bucket.Rows);
            Assert.That(first, Is.GreaterThan(0).And.LessThan(buckets.Sum(bucket => bucket.Rows)));
            Assert.That(buckets.Any(bucket => BeginOf(range, width, bucket) == cut), Is.True, "between two buckets");
        }
    });

    private static DateTimeOffset BeginOf(DataInterval range, int width, BucketCount bucket) =>
        range.Start.AddMilliseconds((double)width * bucket.Number);

    private static (DataInterval Range, IReadOnlyList<BucketCount> Buckets) Prepare(int width, int last, int length, (int Step, int Rows)[] steps)
    {
        var range = new DataInterval(Start, Start.AddMilliseconds(((double)width * length) - (last % width)));
        var buckets = new List<BucketCount>();
        var number = -1L;
        foreach (var (step, rows) in steps)
        {
            number += step;
            if (BeginOf(range, width, new BucketCount(number, rows)) < range.End)
            {
                buckets.Add(new BucketCount(number, rows));
            }
        }

        return (range, buckets);
    }
}
