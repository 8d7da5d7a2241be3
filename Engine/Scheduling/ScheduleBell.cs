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

    /// <summary>No schedule is due before this time stamp of the system's clock, or somebody will look again by then.</summary>
    public void Quiet(long until) => Volatile.Write(ref _quietUntil, until);

    /// <summary>Waits until it is time to look: when it is told so, or after the interval, unless somebody else has looked meanwhile.</summary>
    public async Task WaitAsync(TimeSpan interval, TimeProvider time, CancellationToken stop)
    {
        for (var wait = interval; wait > TimeSpan.Zero; wait = QuietFor)
        {
            await _rung.Task.WaitAsync(wait, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_rung.Task.IsCompleted || stop.IsCancellationRequested)
            {
                break;
            }
        }

        if (_rung.Task.IsCompleted)
        {
            _rung = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    private TimeSpan QuietFor => TimeProvider.System.GetElapsedTime(TimeProvider.System.GetTimestamp(), Volatile.Read(ref _quietUntil));
}
