namespace Exporter.Engine.Workers;

/// <summary>
/// Knows what a run is doing, and so when it does nothing but wait: then its slot can be given back. Attempts, waits and
/// new steps are told to it; it looks again a moment later, since code between two steps is invisible to it. From the moment
/// that it says so, no wait of the run ends and nothing of it begins: the code is left where it is, and what holds it is let
/// go, so that it can be collected.
/// </summary>
internal sealed class RunActivity(TimeProvider time, TimeSpan longestWaitInSlot)
{
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(250);
    private readonly Lock _lock = new();
    private readonly List<long> _waits = [];
    private readonly TaskCompletionSource<TimeSpan?> _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _stopping;
    private int _executing;
    private int _held;
    private long _changes;

    /// <summary>Ends when the run only waits: with how long still, or null when it waits for the worker's stop alone.</summary>
    public Task<TimeSpan?> Idle => _idle.Task;

    /// <summary>From now on every wait is too long.</summary>
    public void Stop()
    {
        lock (_lock)
        {
            _stopping = true;
            _changes++;
        }

        LookLater();
    }

    /// <summary>An attempt begins; told by <see cref="Ended"/> when it has ended.</summary>
    /// <returns>False when the run was left: then it must not begin.</returns>
    public bool TryBegin()
    {
        lock (_lock)
        {
            if (_idle.Task.IsCompleted)
            {
                return false;
            }

            _executing++;
            _changes++;
            return true;
        }
    }

    public void Ended()
    {
        lock (_lock)
        {
            _executing--;
            _changes++;
        }

        LookLater();
    }

    /// <summary>A wait of the run; ends when its time has come while the run is still here.</summary>
    public async Task WaitAsync(TimeSpan wait, CancellationToken cancellationToken)
    {
        var until = time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency);
        lock (_lock)
        {
            _waits.Add(until);
            _changes++;
        }

        LookLater();
        using (var timer = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
        {
            await Task.WhenAny(Delay.LongAsync(wait, time, timer.Token), Idle).ConfigureAwait(false);
            await timer.CancelAsync().ConfigureAwait(false);
        }

        bool left;
        lock (_lock)
        {
            _waits.Remove(until);
            _changes++;
            left = _idle.Task.IsCompleted;
        }

        if (left)
        {
            await HoldAsync<bool>().ConfigureAwait(false);
        }

        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>A step that does not begin any more, since the worker stops or the run was left: it never ends.</summary>
    public async Task<T> HoldAsync<T>()
    {
        lock (_lock)
        {
            _held++;
            _changes++;
        }

        LookLater();
        return await new TaskCompletionSource<T>().Task.ConfigureAwait(false);
    }

    /// <summary>Whether the run, while it is here, does nothing but wait; the number of changes so far; and how long the first of
    /// its waits still takes.</summary>
    public (bool OnlyWaits, long Changes, TimeSpan? Left) Look()
    {
        lock (_lock)
        {
            var waits = _executing == 0 && (_waits.Count > 0 || _held > 0) && !_idle.Task.IsCompleted;
            return (waits, _changes, _waits.Count == 0 ? null : Left(_waits.Min()));
        }
    }

    private void LookLater() => _ = LookLaterAsync();

    private async Task LookLaterAsync()
    {
        long changes;
        lock (_lock)
        {
            if (_executing > 0 || (_held == 0 && (_waits.Count == 0 || (!_stopping && Left(_waits.Min()) <= longestWaitInSlot))))
            {
                return;
            }

            changes = _changes;
        }

        await Task.Delay(Moment, time).ConfigureAwait(false);
        lock (_lock)
        {
            if (changes != _changes)
            {
                return;
            }

            _idle.TrySetResult(_held > 0 || _waits.Count == 0 ? null : Left(_waits.Min()));
        }
    }

    private TimeSpan Left(long until) => time.GetElapsedTime(time.GetTimestamp(), until);
}
