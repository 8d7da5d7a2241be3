namespace Exporter.Engine.Scheduling;

/// <summary>What was decided about an occurrence.</summary>
internal sealed record Decision(OccurrenceKey Key, OverlapPolicy Overlap, OccurrenceOutcome Outcome, string? Reason);

/// <summary>
/// Decides occurrences of one schedule one after the other; pure. Begins with what is known under the lock of the schedule's row:
/// whether runs are going, and what waits in the buffer.
/// </summary>
internal sealed class OverlapDecider
{
    /// <summary>How many may wait that no backfill asked for.</summary>
    public const int MostBuffered = 1000;

    private readonly Dictionary<OccurrenceKey, int> _index = [];
    private readonly List<Decision> _decisions = [];
    private readonly List<(OccurrenceKey Key, OverlapPolicy Overlap)> _buffer;
    private readonly bool _wentBefore;
    private bool _going;

    public OverlapDecider(bool going, IEnumerable<(OccurrenceKey Key, OverlapPolicy Overlap)> buffered)
    {
        _wentBefore = _going = going;
        _buffer = [.. buffered];
    }

    /// <summary>In order; each occurrence once, with what became of it in the end.</summary>
    public IReadOnlyList<Decision> Decisions => _decisions;

    /// <summary>Whether the runs that were going at the beginning are to be cancelled.</summary>
    public bool CancelsOthers { get; private set; }

    /// <summary>Whether they are to be ended at once.</summary>
    public bool TerminatesOthers { get; private set; }

    public int Buffered => _buffer.Count;

    /// <summary>When nothing is going any more, the first that waits starts. While paused, only one that somebody asked for.</summary>
    public void Drain(bool paused)
    {
        if (!_going && _buffer.FindIndex(next => !paused || next.Key.Cause != OccurrenceCause.Schedule) is >= 0 and var first)
        {
            var (key, overlap) = _buffer[first];
            _buffer.RemoveAt(first);
            _going = true;
            Set(new Decision(key, overlap, OccurrenceOutcome.Started, null));
        }
    }

    public void Skip(OccurrenceKey key, OverlapPolicy overlap, string reason) => Set(new Decision(key, overlap, OccurrenceOutcome.Skipped, reason));

    public void Add(OccurrenceKey key, OverlapPolicy overlap)
    {
        if (overlap == OverlapPolicy.AllowAll || (!_going && _buffer.Count == 0))
        {
            _going = true;
            Set(new Decision(key, overlap, OccurrenceOutcome.Started, null));
            return;
        }

        switch (overlap)
        {
            case OverlapPolicy.Skip:
                Skip(key, overlap, _going ? "An earlier run was going." : "An earlier occurrence was waiting.");
                return;
            case OverlapPolicy.BufferOne when _buffer.Count > 0:
                Skip(key, overlap, "Another occurrence was waiting.");
                return;
            case OverlapPolicy.BufferAll when _buffer.Count >= MostBuffered && key.Cause != OccurrenceCause.Backfill:
                Skip(key, overlap, $"{MostBuffered} occurrences were waiting.");
                return;
            case OverlapPolicy.CancelOther or OverlapPolicy.TerminateOther:
                Displace(key);
                if (_wentBefore)
                {
                    CancelsOthers |= overlap == OverlapPolicy.CancelOther;
                    TerminatesOthers |= overlap == OverlapPolicy.TerminateOther;
                    break;
                }

                _going = true;
                Set(new Decision(key, overlap, OccurrenceOutcome.Started, null));
                return;
        }

        _buffer.Add((key, overlap));
        Set(new Decision(key, overlap, OccurrenceOutcome.Buffered, null));
    }

    /// <summary>What waits, and what would have started here and now, gives way.</summary>
    private void Displace(OccurrenceKey by)
    {
        var reason = $"Displaced by the occurrence at {by.Time.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss.FFFFFF'Z'}, which cancels others.";
        foreach (var (key, overlap) in _buffer)
        {
            Skip(key, overlap, reason);
        }

        foreach (var start in _decisions.Where(decision => decision.Outcome == OccurrenceOutcome.Started).ToList())
        {
            Skip(start.Key, start.Overlap, reason);
        }

        _buffer.Clear();
    }

    private void Set(Decision decision)
    {
        if (_index.TryGetValue(decision.Key, out var at))
        {
            _decisions[at] = decision;
        }
        else
        {
            _index.Add(decision.Key, _decisions.Count);
            _decisions.Add(decision);
        }
    }
}
