using System.Collections.Concurrent;
using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>
/// A worker from its registration until it has stopped or lost its lease: claims runs into its slots, keeps its lease, shows
/// what is in progress, and sweeps up after others that died.
/// </summary>
internal sealed class WorkerSession : IAsyncDisposable
{
    private static readonly TimeSpan ShowInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ShortPause = TimeSpan.FromMilliseconds(5);
    private const int BacklogPauses = 4;
    private const int FewestAtOnce = 250;
    private const int MostAtOnce = 1000;
    private static readonly TimeSpan BacklogPause = TimeSpan.FromMilliseconds(3);
    private readonly WorkerSettings _settings;
    private readonly WorkerOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly NpgsqlDataSource _data;
    private readonly NpgsqlDataSource _callers;
    private readonly QuietConnection _quiet;
    private readonly WorkerStore _store;
    private readonly WorkerServices _services;
    private readonly RunExecutor _executor;
    private readonly LeaseKeeper _lease;
    private readonly IdleLook _look;
    private readonly WorkerSweep _sweep;
    private readonly ConcurrentDictionary<Guid, HeldRun> _runs = new();
    private readonly WorkflowOffer _offer;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly SemaphoreSlim _carry = new(0);
    private readonly SemaphoreSlim _steer = new(0);
    private volatile bool _stopping;
    private volatile bool _strays;
    private volatile WorkerPhase _phase = WorkerPhase.Starting;
    private long _claimed;

    public WorkerSession(
        WorkerSettings settings, EngineDatabase database, PayloadCodec codec, EngineClient client, IServiceScopeFactory scopes, WorkSignal signal,
        ScheduleBell schedules, TimeProvider time, EngineMetrics metrics, WorkerSignals signals, ILogger logger)
    {
        _settings = settings;
        _options = settings.Options;
        _time = time;
        _logger = logger;
        _offer = settings.Offer;
        WorkerId = Guid.CreateVersion7();
        _data = database.OpenFor(WorkerId, _options.Writers + 6);
        _callers = database.OpenFor(WorkerId, Math.Clamp(_options.Slots, 2, 8), isCallers: true);
        _quiet = new QuietConnection(_data);
        _store = new WorkerStore(_data, WorkerId, _quiet);
        var writes = new WriteStore(_data, WorkerId, _callers);
        var writer = new CommitWriter(writes, _options.Writers, time, metrics, logger);
        _services = new WorkerServices(WorkerId, _options, writer, writes, new EventStore(_data), client, codec, time, metrics, signals, logger);
        _executor = new RunExecutor(_services, scopes, settings.Workflows);
        _lease = new LeaseKeeper(_store, _options, TestClock.Unmoved(time), logger);
        _look = new IdleLook(settings, signal, schedules, time, Wake);
        _sweep = new WorkerSweep(settings, _store, _services, () => _runs.IsEmpty && _look.FoundNoChores, Wake, () => Ring(_carry));
    }

    public Guid WorkerId { get; }

    /// <summary>The runs that are here now.</summary>
    public IEnumerable<RunExecution> Held => _runs.Values.Select(held => held.Run);

    public WorkerPhase Phase => _lease.IsLost ? WorkerPhase.Lost : _phase;

    /// <summary>How long ago it last asked for runs and got an answer; null before the first.</summary>
    public TimeSpan? LastClaimAge => Interlocked.Read(ref _claimed) is > 0 and var claimed
        ? _runs.IsEmpty && _look.IsFresh ? TimeSpan.Zero : _time.GetElapsedTime(claimed)
        : null;

    /// <summary>A test has moved the clock: look at once for whatever may be due.</summary>
    public void LookNow()
    {
        Wake();
        Ring(_carry);
    }

    /// <summary>Work may be waiting: look now.</summary>
    public void Wake() => Ring(_wake);

    /// <summary>Something is asked of a run, which may be held here.</summary>
    public void Steer(Guid runId, string order)
    {
        if (!_runs.TryGetValue(runId, out var held))
        {
            return;
        }

        switch (order)
        {
            case "cancel":
                held.Run.Cancel();
                break;
            case "pause":
                held.Run.BeginStop();
                break;
            case "event":
                held.Run.WakeEvents();
                break;
            case "drop":
                // Somebody who was told late may mean an earlier claim: what stands in the database counts.
                Ring(_steer);
                break;
        }
    }

    /// <summary>Registers the worker and works until told to stop, or until the lease is lost.</summary>
    /// <returns>False when the lease was lost.</returns>
    public async Task<bool> RunAsync(CancellationToken stop)
    {
        var sent = TestClock.Unmoved(_time).GetTimestamp();
        await _store.RegisterAsync(_options.Name, _settings.Queue, _options.Slots, _options.LeasePeriod, _settings.Offer, stop).ConfigureAwait(false);
        _lease.Granted(sent);
        _phase = WorkerPhase.Active;
        EngineLog.WorkerStarted(_logger, _options.Name, WorkerId, _settings.Queue, _options.Slots);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(_lease.Lost);
        var dropping = _lease.Lost.UnsafeRegister(static session => ((WorkerSession)session!).DropAll(), this);
        await using var droppingNoMore = dropping.ConfigureAwait(false);
        var keeping = _lease.KeepAsync(() => _runs.Count, () => _stopping, _services.Writer, _look, SteerAsync, end.Token);
        var beside = Task.WhenAll(_sweep.RunAsync(end.Token), ShowAsync(end.Token), CarryAsync(end.Token), SteerWhenToldAsync(end.Token));
        await ClaimAsync(stop).ConfigureAwait(false);
        _stopping = true;
        if (_lease.IsLost)
        {
            EngineLog.WorkerLost(_logger, WorkerId, _runs.Count);
            _services.Metrics.LeaseLost(_settings.Queue);
        }
        else
        {
            await StopAsync().ConfigureAwait(false);
        }

        await LeftAsync(_options.CancelGrace).ConfigureAwait(false);
        await end.CancelAsync().ConfigureAwait(false);
        await keeping.ConfigureAwait(false);
        await beside.ConfigureAwait(false);
        return !_lease.IsLost;
    }

    public async ValueTask DisposeAsync()
    {
        _phase = WorkerPhase.Stopped;
        _services.Writer.GiveUp();
        await _services.Writer.DisposeAsync().ConfigureAwait(false);
        var refused = _services.Writer.TakeRefused();
        try
        {
            // Whatever is still held here, by code that would not end, is free for others from now on.
            await (_lease.IsLost ? _store.CountRefusedAsync(refused, CancellationToken.None) : _store.StopAsync(refused, CancellationToken.None))
                .ConfigureAwait(false);
            EngineLog.WorkerStopped(_logger, WorkerId);
        }
        catch (Exception error) when (TransientErrors.Include(error))
        {
            EngineLog.TriedAgain(_logger, "Signing off is left to the lease; it", ErrorText.Of(error));
        }

        _lease.Dispose();
        _quiet.Dispose();
        await _callers.DisposeAsync().ConfigureAwait(false);
        await _data.DisposeAsync().ConfigureAwait(false);
        _wake.Dispose();
        _carry.Dispose();
        _steer.Dispose();
    }

    private static void Ring(SemaphoreSlim bell)
    {
        if (bell.CurrentCount == 0)
        {
            bell.Release();
        }
    }

    private async Task ClaimAsync(CancellationToken stop)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, _lease.Lost);
        var backlog = false;
        while (!either.IsCancellationRequested)
        {
            // While more is waiting than there are slots, a few at a time would cost more than they gain.
            for (var pauses = 0; backlog && pauses < BacklogPauses && _options.Slots - _runs.Count < _options.Slots / 2 && !either.IsCancellationRequested; pauses++)
            {
                await Task.Delay(BacklogPause, _time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            // A few at first, so that something executes while more is claimed.
            var free = Math.Min(_options.Slots - _runs.Count, Math.Clamp(_runs.Count, FewestAtOnce, MostAtOnce));
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
                EngineLog.TriedAgain(_logger, "Claiming runs", ErrorText.Of(error));
            }

            backlog = free > 0 && claimed == free;
            if (!backlog)
            {
                await WaitForWorkAsync(free > 0 && _store.ClaimAgainIn < _options.PollInterval ? _store.ClaimAgainIn : null, either.Token).ConfigureAwait(false);
            }
        }
    }

    // Until somebody knows of work, or it is time to ask for it.
    private async Task WaitForWorkAsync(TimeSpan? again, CancellationToken stop)
    {
        try
        {
            while (!await _wake.WaitAsync(again ?? _options.PollInterval, stop).ConfigureAwait(false))
            {
                if (again is not null || _strays || !_runs.IsEmpty || !_look.IsFresh)
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
            await _store.GiveBackStraysAsync([.. _runs.Keys], CancellationToken.None).ConfigureAwait(false);
            _strays = false;
        }

        var claimed = await _store.ClaimAsync(_settings.Queue, _offer, limit, CancellationToken.None).ConfigureAwait(false);
        Interlocked.Exchange(ref _claimed, _time.GetTimestamp());
        _services.Metrics.RunsClaimed(_settings.Queue, claimed.Count);
        var again = claimed.FindAll(run => run.Epoch > 1);
        if (again.Count > 0)
        {
            await _store.LoadAsync(again, CancellationToken.None).ConfigureAwait(false);
        }

        foreach (var run in claimed)
        {
            var held = new HeldRun(new RunExecution(run, _services));
            _runs[run.RunId] = held;
            if (_lease.IsLost)
            {
                // It was lost before this run could be seen by who drops them all.
                held.Run.Drop();
            }

            held.Left = ExecuteAsync(held.Run);
        }

        return claimed.Count;
    }

    private async Task ExecuteAsync(RunExecution run)
    {
        if (!await _executor.ExecuteAsync(run).ConfigureAwait(false))
        {
            _strays = true;
        }

        _runs.TryRemove(run.RunId, out _);
        if (run.HasFamily)
        {
            Ring(_carry);
        }

        Wake();
    }

    private void DropAll()
    {
        foreach (var run in Held)
        {
            try
            {
                run.Drop();
            }
            catch (AggregateException error)
            {
                // What the run's code does when it is told must not keep the others from being told.
                EngineLog.TriedAgain(_logger, $"Telling run {run.RunId} that the lease is lost", ErrorText.Of(error));
            }
        }
    }

    // Steps in progress may end, none begins; then they are told to end; then the runs are given back.
    private async Task StopAsync()
    {
        _phase = WorkerPhase.Draining;
        EngineLog.WorkerStopping(_logger, WorkerId, _runs.Count);
        foreach (var run in Held)
        {
            run.BeginStop();
            _services.Signals.Raise(WorkerMoment.Stopping, run.RunId);
        }

        await LeftAsync(_options.ShutdownGrace).ConfigureAwait(false);
        foreach (var run in Held)
        {
            run.Drop();
        }
    }

    private async Task LeftAsync(TimeSpan longest)
    {
        var all = Task.WhenAll(_runs.Values.Select(held => held.Left).ToArray());
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(_stopping && !_lease.IsLost ? _lease.Lost : CancellationToken.None);
        await Task.WhenAny(all, Task.Delay(longest, _time, ended.Token)).ConfigureAwait(false);
        await ended.CancelAsync().ConfigureAwait(false);
    }

    private async Task SteerAsync(CancellationToken cancellationToken)
    {
        var held = _runs.ToArray();
        foreach (var (runId, order) in held.Length == 0 ? [] : await _store.SteeredAsync([.. held.Select(run => run.Key)], cancellationToken).ConfigureAwait(false))
        {
            if (order != "drop")
            {
                Steer(runId, order);
            }
            else if (_runs.TryGetValue(runId, out var now) && held.Any(run => ReferenceEquals(run.Value.Run, now.Run)))
            {
                now.Run.Lose();
            }
        }
    }

    private async Task SteerWhenToldAsync(CancellationToken end)
    {
        while (true)
        {
            await ((Task)_steer.WaitAsync(end)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (end.IsCancellationRequested)
            {
                return;
            }

            try
            {
                await SteerAsync(end).ConfigureAwait(false);
            }
            catch (Exception error) when (!end.IsCancellationRequested)
            {
                EngineLog.TriedAgain(_logger, "Looking at what is asked of runs", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return;
            }
        }
    }

    // The ends of runs are carried to their parents and children at once when this worker has ended one, and whatever others have
    // left when a sweep has seen it.
    private async Task CarryAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            try
            {
                await _services.Events.TimeOutAsync(end).ConfigureAwait(false);
                while (!await _services.Events.CarryAsync(end).ConfigureAwait(false))
                {
                    await Task.Delay(ShortPause, _time, end).ConfigureAwait(false);
                }
            }
            catch (Exception error) when (!end.IsCancellationRequested)
            {
                EngineLog.TriedAgain(_logger, "Carrying the ends of runs", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return;
            }

            await ((Task)_carry.WaitAsync(end)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Attempts that have gone on for a while are shown with their last sign of life.
    private async Task ShowAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            await Task.Delay(ShowInterval, _time, end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var run in end.IsCancellationRequested ? [] : Held)
            {
                foreach (var attempt in run.Attempts)
                {
                    if (attempt.Took >= ShowInterval)
                    {
                        _services.Writer.Post(attempt.OpenWrite(null));
                    }
                }
            }
        }
    }

    private sealed class HeldRun(RunExecution run)
    {
        public RunExecution Run => run;

        /// <summary>Ends when the run has left this worker.</summary>
        public Task Left { get; set; } = Task.CompletedTask;
    }
}
