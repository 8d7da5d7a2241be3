using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Workers;

/// <summary>
/// Waits of a run for something that comes from outside: a signal, the end of a child. Each wait looks, is woken, and looks
/// again; a long one gives the slot back, with the number of events that had been seen, so that none falls between.
/// </summary>
internal sealed class RunEvents(RunExecution run, WorkerServices services)
{
    // Not so often that the run never looks idle.
    private static readonly TimeSpan LeastPoll = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Forever = TimeSpan.FromDays(36500);
    private readonly Dictionary<object, long> _seen = [];
    private TaskCompletionSource _woken = New();

    /// <summary>How many events all waits have seen; null when nothing waits for one.</summary>
    public long? Seen
    {
        get
        {
            lock (_seen)
            {
                return _seen.Count == 0 ? null : _seen.Values.Min();
            }
        }
    }

    /// <summary>Something may have come.</summary>
    public void Wake() => Interlocked.Exchange(ref _woken, New()).TrySetResult();

    /// <summary>Looks until something is there or the time is up.</summary>
    /// <param name="look">Answers null while nothing is there.</param>
    /// <param name="longest">How long; for ever when null.</param>
    /// <param name="stop">Fires when the run is to stop.</param>
    /// <returns>What was found; null when the time was up.</returns>
    public async Task<T?> UntilAsync<T>(Func<Task<T?>> look, TimeSpan? longest, CancellationToken stop)
        where T : class
    {
        var me = new object();
        var start = services.Time.GetTimestamp();
        var poll = services.Options.PollInterval > LeastPoll ? services.Options.PollInterval : LeastPoll;
        try
        {
            while (true)
            {
                stop.ThrowIfCancellationRequested();
                var woken = Volatile.Read(ref _woken).Task;
                var found = await LookAsync(me, look, stop).ConfigureAwait(false);
                var left = longest is { } all ? all - services.Time.GetElapsedTime(start) : Forever;
                if (found is not null || left <= TimeSpan.Zero)
                {
                    return found;
                }

                using var done = CancellationTokenSource.CreateLinkedTokenSource(stop);
                var wait = run.Activity.WaitAsync(left, done.Token);
                await Task.WhenAny(wait, woken, Task.Delay(poll, services.Time, done.Token)).ConfigureAwait(false);
                await done.CancelAsync().ConfigureAwait(false);
                // Of a run that was left meanwhile this wait does not end, so nothing goes on here.
                await wait.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            lock (_seen)
            {
                _seen.Remove(me);
            }
        }
    }

    private async Task<T?> LookAsync<T>(object me, Func<Task<T?>> look, CancellationToken stop)
        where T : class
    {
        if (!run.Activity.TryBegin())
        {
            return await run.Activity.HoldAsync<T>().ConfigureAwait(false);
        }

        try
        {
            SetSeen(me, await services.Events.SeenAsync(run.RunId, stop).ConfigureAwait(false));
            return await look().ConfigureAwait(false);
        }
        catch (Exception error) when (error is not LeaseLostException && TransientErrors.Include(error))
        {
            // A look that failed has seen nothing.
            SetSeen(me, -1);
            return null;
        }
        finally
        {
            run.Activity.Ended();
        }
    }

    private void SetSeen(object wait, long seen)
    {
        lock (_seen)
        {
            _seen[wait] = seen;
        }
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
