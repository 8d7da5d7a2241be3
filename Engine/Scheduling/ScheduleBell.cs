namespace Exporter.Engine.Scheduling;

/// <summary>
/// What this process's idle workers tell its firer: that a schedule is due, or that none is. While they look, it need not.
/// </summary>
internal sealed class ScheduleBell
{
    private volatile TaskCompletionSource _rung = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _quietUntil;

    /// <summary>A schedule is due.</summary>
    public void Ring() => _rung.TrySetResult();

    /// <summary>No schedule is due before this time stamp of the system's clock, and somebody will look again before it.</summary>
    public void Quiet(long until) => Volatile.Write(ref _quietUntil, until);

    /// <summary>Waits until it is time to look: when it is told so, or after a while, but for the time that others look.</summary>
    public async Task WaitAsync(TimeSpan wait, TimeProvider time, CancellationToken stop)
    {
        for (var left = wait; left > TimeSpan.Zero && !_rung.Task.IsCompleted && !stop.IsCancellationRequested; left = QuietFor())
        {
            await _rung.Task.WaitAsync(left < wait ? left : wait, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (_rung.Task.IsCompleted)
        {
            _rung = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    private TimeSpan QuietFor() => TimeProvider.System.GetElapsedTime(TimeProvider.System.GetTimestamp(), Volatile.Read(ref _quietUntil));
}
