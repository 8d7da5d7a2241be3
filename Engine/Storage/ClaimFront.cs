namespace Exporter.Engine.Storage;

/// <summary>
/// Where a worker's claims begin to look at what is ready. While anybody holds a snapshot, index entries of runs that were claimed
/// since cannot be removed, and a claim that begins at the front walks over all of them. So a worker remembers, for each
/// priority, the due time up to which it has seen everything, and where looks from the front have become costly it begins there.
/// What comes in before that place (a start that committed long after it was due, a run given back) is found by the next
/// look from the front: at once where those are cheap, otherwise in parts of the time that they take, and after
/// <see cref="Longest"/> in any case. Decision 5 tells why.
/// </summary>
internal sealed class ClaimFront(TimeProvider time)
{
    /// <summary>The longest from one look from the front to the next.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    /// <summary>Entries that a look from the front may walk over in vain before it counts as costly: less than a millisecond.</summary>
    public const int Cheap = 2000;

    /// <summary>How many runs a look wakes at most, as WakeDue says.</summary>
    public const int MostWoken = 1000;

    /// <summary>Looks from the front wait for so long per entry, which is twenty to a hundred times what walking over one takes.</summary>
    private static readonly TimeSpan PerEntry = TimeSpan.FromMicroseconds(10);

    /// <summary>Runs are committed a little after they were due, and not in that order.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromMilliseconds(100);
    private const int MostPriorities = 64;
    private readonly SortedList<short, DateTime> _seen = [];
    private DateTime _wokenTo = ClaimStart.Ever;
    private long? _frontAt;

    /// <summary>When to look from the front, though nothing happens; null while every look does.</summary>
    public TimeSpan? FrontIn => _frontAt is not { } at ? null : time.GetTimestamp() is var now && at <= now ? TimeSpan.Zero : time.GetElapsedTime(now, at);

    /// <summary>Where the next look begins.</summary>
    public ClaimStart Begin()
    {
        if (FrontIn is not { } wait || wait == TimeSpan.Zero || _seen.Count > MostPriorities)
        {
            return ClaimStart.Front;
        }

        // What lies before the first known priority, then each from its place up to the next.
        return new ClaimStart(
            IsFront: false,
            [short.MinValue, .. _seen.Keys],
            [ClaimStart.Ever, .. _seen.Values],
            [.. _seen.Keys.Select(priority => (int)priority), int.MaxValue],
            _wokenTo);
    }

    /// <summary>Takes note of what a look found.</summary>
    /// <param name="start">Where it began.</param>
    /// <param name="clock">The database's time right before it.</param>
    /// <param name="walked">Entries that it walked over, those of the runs that it found included.</param>
    /// <param name="woken">Runs whose wait it found to be over.</param>
    /// <param name="runs">The runs that it claimed, in the order of the index.</param>
    /// <param name="limit">How many it would have claimed.</param>
    public void Looked(ClaimStart start, DateTime clock, long walked, int woken, ReadOnlySpan<ClaimedRun> runs, int limit)
    {
        foreach (var run in runs)
        {
            // The last of each priority stays: also when it lies before what was noted, as it does once the clock was put back.
            _seen[run.Priority] = run.DueAt - Margin;
        }

        // Of a look that found nothing it is not known why: there may have been a run with a key, or the own lease was over.
        if (runs.Length > 0 && runs.Length < limit)
        {
            foreach (var priority in _seen.Keys.ToArray())
            {
                _seen[priority] = clock - Margin;
            }
        }

        if (woken < MostWoken)
        {
            _wokenTo = clock - Margin;
        }

        if (start.IsFront)
        {
            var vain = walked - runs.Length - woken;
            _frontAt = vain <= Cheap ? null : time.GetTimestamp() + (long)(Wait(vain).TotalSeconds * time.TimestampFrequency);
        }
    }

    private static TimeSpan Wait(long vain) => vain >= Longest / PerEntry ? Longest : vain * PerEntry;
}

/// <summary>Where a look begins: ranges of priority and due time, in the order of the index.</summary>
/// <param name="IsFront">Whether it leaves nothing out.</param>
/// <param name="Priorities">Each range's first priority.</param>
/// <param name="DueFrom">The due time at which it begins in that priority; in later ones it leaves nothing out.</param>
/// <param name="Below">The priority before which it ends.</param>
/// <param name="WakeFrom">From when on waits are looked at.</param>
internal sealed record ClaimStart(bool IsFront, short[] Priorities, DateTime[] DueFrom, int[] Below, DateTime WakeFrom)
{
    /// <summary>Before every due time; -infinity for the database.</summary>
    public static readonly DateTime Ever = DateTime.SpecifyKind(DateTime.MinValue, DateTimeKind.Utc);

    /// <summary>The whole index.</summary>
    public static readonly ClaimStart Front = new(IsFront: true, [short.MinValue], [Ever], [int.MaxValue], Ever);
}
