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

    /// <summary>No schedule is due, and somebody will look again before this time stamp of the system's clock.</summary>
    public void Quiet(long until) => Volatile.Write(ref _quietUntil, until);

    /// <summary>Waits until it is time to look: when it is told so, or after each interval in which nobody has looked.</summary>
    public async Task WaitAsync(TimeSpan interval, TimeProvider time, CancellationToken stop)
    {
        do
        {
            await _rung.Task.WaitAsync(interval, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        while (!_rung.Task.IsCompleted && !stop.IsCancellationRequested && TimeProvider.System.GetTimestamp() < Volatile.Read(ref _quietUntil));
        if (_rung.Task.IsCompleted)
        {
            _rung = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}
