using Exporter.Engine.Observability;
using Exporter.Engine.Storage;

namespace Exporter.Engine.Workers;

/// <summary>Claims runs for the free slots of a worker and has them executed.</summary>
internal sealed class RunClaimer(
    WorkerSettings settings, WorkerServices services, WorkerStore store, LeaseKeeper lease, IdleLook look, HeldRuns runs, RunExecutor executor, Action carry) : IDisposable
{
    private const int BacklogPauses = 4;
    private const int FewestAtOnce = 250;
    private const int MostAtOnce = 1000;
    private static readonly TimeSpan BacklogPause = TimeSpan.FromMilliseconds(3);
    private readonly WorkerOptions _options = settings.Options;
    private readonly WorkflowOffer _offer = settings.Offer;
    private readonly Bell _wake = new();
    private volatile bool _strays;
    private long _claimed;

    /// <summary>How long ago it last asked for runs and got an answer; null before the first.</summary>
    public TimeSpan? LastClaimAge => Interlocked.Read(ref _claimed) is > 0 and var claimed
        ? runs.IsEmpty && look.IsFresh ? TimeSpan.Zero : services.Time.GetElapsedTime(claimed)
        : null;

    /// <summary>Work may be waiting: look now.</summary>
    public void Wake() => _wake.Ring();

    /// <summary>Claims until told to stop, or until the lease is lost.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, lease.Lost);
        var enough = Math.Min(_options.Slots * 3 / 4, MostAtOnce);
        var backlog = false;
        while (!either.IsCancellationRequested)
        {
            // While more is waiting than there are slots, a few at a time would cost more than they gain.
            for (var pauses = 0; backlog && pauses < BacklogPauses && _options.Slots - runs.Count < enough && !either.IsCancellationRequested; pauses++)
            {
                await Task.Delay(BacklogPause, services.Time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            // A few at first, so that something executes while more is claimed.
            var free = Math.Min(_options.Slots - runs.Count, backlog ? MostAtOnce : Math.Clamp(runs.Count, FewestAtOnce, MostAtOnce));
            var claimed = 0;
            try
            {
                // Not cancelled once sent: runs that were claimed by a statement whose answer is thrown away would wait for the
                // lease to end.
                claimed = free > 0 ? await ClaimAsync(free).ConfigureAwait(false) : 0;
            }
            catch (Exception error)
            {
                // The answer may have been lost after the commit: then this worker holds runs that it does not know of.
                _strays = true;
                EngineLog.TriedAgain(services.Logger, "Claiming runs", ErrorText.Of(error));
            }

            backlog = free > 0 && claimed == free;
            if (!backlog)
            {
                await WaitForWorkAsync(free > 0 && store.ClaimAgainIn < _options.PollInterval ? store.ClaimAgainIn : null, either.Token).ConfigureAwait(false);
            }
        }
    }

    public void Dispose() => _wake.Dispose();

    // Until somebody knows of work, or it is time to ask for it.
    private async Task WaitForWorkAsync(TimeSpan? again, CancellationToken stop)
    {
        try
        {
            while (!await _wake.WaitAsync(again ?? _options.PollInterval, stop).ConfigureAwait(false))
            {
                if (again is not null || _strays || !runs.IsEmpty || !look.IsFresh)
                {
                    return;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Told to stop.
        }
    }

    private async Task<int> ClaimAsync(int limit)
    {
        if (_strays)
        {
            await store.GiveBackStraysAsync(runs.Ids, CancellationToken.None).ConfigureAwait(false);
            _strays = false;
        }

        var claimed = await store.ClaimAsync(settings.Queue, _offer, limit, CancellationToken.None).ConfigureAwait(false);
        Interlocked.Exchange(ref _claimed, services.Time.GetTimestamp());
        services.Metrics.RunsClaimed(settings.Queue, claimed.Count);
        var again = claimed.FindAll(run => run.Epoch > 1);
        if (again.Count > 0)
        {
            await store.LoadAsync(again, CancellationToken.None).ConfigureAwait(false);
        }

        foreach (var run in claimed)
        {
            runs.Add(new RunExecution(run, services), ExecuteAsync);
        }

        return claimed.Count;
    }

    private async Task ExecuteAsync(RunExecution run)
    {
        if (lease.IsLost)
        {
            // It was lost before this run could be seen by who drops them all.
            run.Drop();
        }

        if (!await executor.ExecuteAsync(run).ConfigureAwait(false))
        {
            _strays = true;
        }

        runs.Remove(run);
        if (run.HasFamily)
        {
            carry();
        }

        Wake();
    }
}
