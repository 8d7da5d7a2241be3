namespace Exporter.Engine.Workers;

/// <summary>A run that could be claimed. Its key's own limits are null where there are none.</summary>
internal sealed record ClaimCandidate(
    Guid RunId, short Priority, string? Key, int? Limit, DateTimeOffset DueAt, int? KeyMaxRunning = null, TokenBucket? KeyTokens = null);

/// <summary>What is left in a bucket, and how long it takes until one more is.</summary>
internal sealed record TokenBucket(double Left, TimeSpan PerToken)
{
    public TimeSpan UntilOneOf(double left) => left >= 1 ? TimeSpan.Zero : (1 - left) * PerToken;
}

/// <summary>What to claim, and how long until a rate lets another run start, when only rates hold runs back.</summary>
internal sealed record ClaimPlan(IReadOnlyList<Guid> Picked, TimeSpan? NextTokenIn);

/// <summary>
/// Picks what to claim: lower priority numbers first; among equals the key of which the fewest execute or are picked already,
/// then who has been due for longest. Runs without a key are one group among the others, without a limit.
/// </summary>
internal static class ClaimPlanner
{
    public static ClaimPlan Pick(
        int free, int? queueMaxRunning, TokenBucket? queueTokens, IReadOnlyDictionary<string, int> running, IEnumerable<ClaimCandidate> candidates)
    {
        var counts = new Dictionary<string, int>(running, StringComparer.Ordinal);
        var spent = new Dictionary<string, int>(StringComparer.Ordinal);
        var picked = new List<Guid>();
        var most = Math.Min(free, (queueMaxRunning ?? int.MaxValue) - running.Values.Sum());
        TimeSpan? nextToken = null;
        foreach (var level in candidates.GroupBy(candidate => candidate.Priority).OrderBy(level => level.Key))
        {
            var turns = new PriorityQueue<Queue<ClaimCandidate>, (int Count, DateTimeOffset DueAt, Guid RunId)>();
            foreach (var key in level.GroupBy(candidate => candidate.Key ?? ""))
            {
                var line = new Queue<ClaimCandidate>(key.OrderBy(candidate => candidate.DueAt).ThenBy(candidate => candidate.RunId));
                turns.Enqueue(line, (counts.GetValueOrDefault(key.Key), line.Peek().DueAt, line.Peek().RunId));
            }

            while (picked.Count < most && turns.TryDequeue(out var line, out _))
            {
                var next = line.Dequeue();
                var key = next.Key ?? "";
                var count = counts.GetValueOrDefault(key);
                if (next.Key is not null && count >= Math.Min(next.Limit ?? 1, next.KeyMaxRunning ?? int.MaxValue))
                {
                    // Those behind it in the line of its key wait with it, or it might wait for ever.
                    continue;
                }

                var keyLeft = next.KeyTokens is { } own ? own.Left - spent.GetValueOrDefault(key) : double.MaxValue;
                var queueLeft = queueTokens is { } all ? all.Left - picked.Count : double.MaxValue;
                if (keyLeft < 1 || queueLeft < 1)
                {
                    var wait = new[] { next.KeyTokens?.UntilOneOf(keyLeft) ?? TimeSpan.Zero, queueTokens?.UntilOneOf(queueLeft) ?? TimeSpan.Zero }.Max();
                    nextToken = nextToken is { } sooner && sooner < wait ? sooner : wait;
                    continue;
                }

                picked.Add(next.RunId);
                counts[key] = count + 1;
                spent[key] = spent.GetValueOrDefault(key) + 1;
                if (line.TryPeek(out var behind))
                {
                    turns.Enqueue(line, (count + 1, behind.DueAt, behind.RunId));
                }
            }
        }

        return new ClaimPlan(picked, nextToken);
    }
}
