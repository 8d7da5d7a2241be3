using CsCheck;
using Exporter.Engine.Workers;

namespace Exporter.Engine.Tests.Queues;

/// <summary>Which runs are picked: pure, so tried with many random queues.</summary>
public sealed class ClaimPlannerTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly Gen<ClaimCandidate> Candidates =
        from run in Gen.Guid
        from priority in Gen.Short[-2, 2]
        from key in Gen.Int[0, 4].Select(number => number == 0 ? null : "abcd"[(number - 1)..number])
        from limit in Gen.Int[1, 4]
        from due in Gen.Int[0, 20]
        select new ClaimCandidate(
            run,
            priority,
            key,
            key is null ? null : limit,
            Start.AddSeconds(due),
            key == "b" ? 2 : null,
            key == "c" ? new TokenBucket(1.5, TimeSpan.FromSeconds(1)) : null);

    [Test]
    public void Never_over_a_limit_and_nothing_is_left_that_could_go()
    {
        Gen.Select(Candidates.List[0, 40], Gen.Int[1, 12], Gen.Int[0, 10].Nullable(), Gen.Double[0, 8].Nullable(), Gen.Int[0, 3]).Sample((candidates, free, most, left, running) =>
        {
            var counts = new Dictionary<string, int> { ["a"] = running, [""] = 1 };
            var tokens = left is { } some ? new TokenBucket(some, TimeSpan.FromSeconds(1)) : null;
            var plan = ClaimPlanner.Pick(free, most, tokens, counts, candidates);
            var byId = candidates.ToDictionary(candidate => candidate.RunId);
            var total = running + 1;
            Assert.That(plan.Picked, Is.Unique);
            Assert.That(plan.Picked, Has.Count.LessThanOrEqualTo(free));
            foreach (var picked in plan.Picked.Select(id => byId[id]))
            {
                var key = picked.Key ?? "";
                var count = counts.GetValueOrDefault(key);
                Assert.That(picked.Key is null || (count < picked.Limit && count < (picked.KeyMaxRunning ?? int.MaxValue)), "its key has room");
                Assert.That(most is null || total < most, "the queue has room");
                (counts[key], total) = (count + 1, total + 1);
            }

            Assert.That(plan.Picked, left is null ? Is.Not.Null : Has.Count.LessThanOrEqualTo((int)left));
            Assert.That(plan.Picked.Count(id => byId[id].Key == "c"), Is.LessThanOrEqualTo(1), "1.5 tokens are one run");
            if (plan.Picked.Count < free && (most is null || total < most) && (left is null || plan.Picked.Count + 1 <= left))
            {
                var others = candidates.Where(candidate => !plan.Picked.Contains(candidate.RunId));
                Assert.That(others.Where(other => other.Key is null), Is.Empty, "a run without a key is left only for want of a slot");
            }
        });
    }

    [Test]
    public void Lower_priority_numbers_go_first_whatever_their_key()
    {
        Candidates.List[1, 40].Sample(candidates =>
        {
            var free = candidates.ConvertAll(candidate => candidate with { Limit = candidate.Key is null ? null : 100, KeyMaxRunning = null, KeyTokens = null });
            var plan = ClaimPlanner.Pick(5, null, null, new Dictionary<string, int>(), free);
            var picked = free.Where(candidate => plan.Picked.Contains(candidate.RunId)).Select(candidate => candidate.Priority).Order();
            Assert.That(picked, Is.EqualTo(free.Select(candidate => candidate.Priority).Order().Take(5)));
        });
    }

    [Test]
    public void Among_equals_the_key_with_the_fewest_goes_first()
    {
        var crowd = Enumerable.Range(0, 50).Select(number => Of("crowd", number));
        var late = Of("late", 1000);
        var plan = ClaimPlanner.Pick(3, null, null, new Dictionary<string, int> { ["crowd"] = 1 }, [.. crowd, late]);
        Assert.That(plan.Picked[0], Is.EqualTo(late.RunId));
        Assert.That(plan.Picked, Has.Count.EqualTo(3));
    }

    [Test]
    public void A_rate_says_when_it_lets_the_next_run_start()
    {
        var plan = ClaimPlanner.Pick(3, null, new TokenBucket(1.25, TimeSpan.FromSeconds(2)), new Dictionary<string, int>(), [Of("a", 1), Of("b", 2)]);
        Assert.That(plan.Picked, Has.Count.EqualTo(1));
        Assert.That(plan.NextTokenIn, Is.EqualTo(TimeSpan.FromSeconds(1.5)));
    }

    private static ClaimCandidate Of(string key, int due) => new(Guid.CreateVersion7(), 0, key, 100, Start.AddSeconds(due));
}
