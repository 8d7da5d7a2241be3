namespace Exporter.Engine.Testing;

/// <summary>
/// Time inside a process which goes on as it always does, and can be moved ahead: timers that fall due thereby fire at once.
/// While it is held, no timer fires.
/// </summary>
internal sealed class TestClock : TimeProvider
{
    // A timer of the system takes at most 49 days; a longer wait is taken up again.
    private static readonly TimeSpan Longest = TimeSpan.FromDays(40);
    private readonly long _start = System.GetTimestamp();
    private readonly Lock _lock = new();
    private readonly HashSet<MovedTimer> _timers = [];
    private TimeSpan _ahead;
    private bool _held;

    /// <summary>By how much it is ahead of real time.</summary>
    public TimeSpan Ahead
    {
        get
        {
            lock (_lock)
            {
                return _ahead;
            }
        }
    }

    public override long TimestampFrequency => System.TimestampFrequency;

    private TimeSpan Elapsed => System.GetElapsedTime(_start) + _ahead;

    /// <summary>What a lease goes by: it is real time even where tests move the clock.</summary>
    public static TimeProvider Unmoved(TimeProvider time) => time is TestClock ? System : time;

    public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + Ahead;

    public override long GetTimestamp() => System.GetTimestamp() + (long)(Ahead.TotalSeconds * TimestampFrequency);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new MovedTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>From now on no timer fires.</summary>
    public void Hold()
    {
        lock (_lock)
        {
            _held = true;
        }
    }

    /// <summary>Moves ahead, and lets fire what is due.</summary>
    public void MoveAndRelease(TimeSpan by)
    {
        lock (_lock)
        {
            _ahead += by;
            _held = false;
            foreach (var timer in _timers)
            {
                timer.Arm();
            }
        }
    }

    private sealed class MovedTimer : ITimer
    {
        private readonly TestClock _clock;
        private readonly TimerCallback _callback;
        private readonly object? _state;
        private readonly ITimer _real;
        private TimeSpan? _due;
        private TimeSpan _period;

        public MovedTimer(TestClock clock, TimerCallback callback, object? state)
        {
            _clock = clock;
            _callback = callback;
            _state = state;
            _real = System.CreateTimer(_ => Look(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (_clock._lock)
            {
                _due = dueTime < TimeSpan.Zero ? null : _clock.Elapsed + dueTime;
                _period = period;
                if (_due is null)
                {
                    _clock._timers.Remove(this);
                }
                else
                {
                    _clock._timers.Add(this);
                }

                return Arm();
            }
        }

        /// <summary>Under the clock's lock.</summary>
        public bool Arm()
        {
            if (_due is not { } due)
            {
                return _real.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }

            var left = due - _clock.Elapsed;
            return _real.Change(left < TimeSpan.Zero ? TimeSpan.Zero : left > Longest ? Longest : left, Timeout.InfiniteTimeSpan);
        }

        public void Dispose()
        {
            lock (_clock._lock)
            {
                _due = null;
                _clock._timers.Remove(this);
            }

            _real.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Look()
        {
            lock (_clock._lock)
            {
                if (_due is not { } due || _clock._held)
                {
                    return;
                }

                if (_clock.Elapsed < due)
                {
                    Arm();
                    return;
                }

                _due = _period > TimeSpan.Zero ? _clock.Elapsed + _period : null;
                if (_due is null)
                {
                    _clock._timers.Remove(this);
                }
                else
                {
                    Arm();
                }
            }

            _callback(_state);
        }
    }
}
