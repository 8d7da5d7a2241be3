using System.Collections.Concurrent;
using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
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
    private const int ForgottenAtOnce = 500;
    private static readonly TimeSpan ShortPause = TimeSpan.FromMilliseconds(5);
    private readonly WorkerSettings _settings;
    private readonly WorkerOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly NpgsqlDataSource _data;
    private readonly WorkerStore _store;
    private readonly WorkerServices _services;
    private readonly RunExecutor _executor;
    private readonly LeaseKeeper _lease;
    private readonly ConcurrentDictionary<Guid, (RunExecution Run, Task Left)> _runs = new();
    private readonly WorkflowOffer _offer;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly SemaphoreSlim _carry = new(0);
    private readonly SemaphoreSlim _steer = new(0);
    private volatile bool _stopping;
    private volatile bool _strays;

    public WorkerSession(
        WorkerSettings settings, EngineDatabase database, PayloadCodec codec, EngineClient client, IServiceScopeFactory scopes, TimeProvider time,
        EngineMetrics metrics, WorkerSignals signals, ILogger logger)
    {
        _settings = settings;
        _options = settings.Options;
        _time = time;
        _logger = logger;
        _offer = settings.Offer;
        WorkerId = Guid.CreateVersion7();
        _data = database.OpenFor(WorkerId, _options.Writers + Math.Min(_options.Slots, 8) + 3);
        _store = new WorkerStore(_data, WorkerId);
        var writes = new WriteStore(_data, WorkerId);
        var writer = new CommitWriter(writes, _options.Writers, time, metrics, logger);
        _services = new WorkerServices(WorkerId, _options, writer, writes, new EventStore(_data), client, codec, time, metrics, signals, logger);
        _executor = new RunExecutor(_services, scopes, settings.Workflows);
        _lease = new LeaseKeeper(_store, _options, TestClock.Unmoved(time), logger);
    }

    public Guid WorkerId { get; }

    /// <summary>The runs that are here now.</summary>
    public IEnumerable<RunExecution> Held => _runs.Values.Select(held => held.Run);

    /// <summary>A test has moved the clock: look at once for whatever may be due.</summary>
    public void LookNow()
    {
        Wake();
        if (_carry.CurrentCount == 0)
        {
            _carry.Release();
        }
    }

    /// <summary>Work may be waiting: look now.</summary>
    public void Wake()
    {
        if (_wake.CurrentCount == 0)
        {
            _wake.Release();
        }
    }

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
                held.Run.Events.Wake();
                break;
            case "drop":
                // Somebody who was told late may mean an earlier claim: what stands in the database counts.
                if (_steer.CurrentCount == 0)
                {
                    _steer.Release();
                }

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
        EngineLog.WorkerStarted(_logger, _options.Name, WorkerId, _settings.Queue, _options.Slots);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(_lease.Lost);
        var keeping = _lease.KeepAsync(() => _runs.Count, () => _stopping, _services.Writer, SteerAsync, end.Token);
        var beside = Task.WhenAll(SweepAsync(end.Token), ShowAsync(end.Token), CarryAsync(end.Token), SteerWhenToldAsync(end.Token));
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
        await _data.DisposeAsync().ConfigureAwait(false);
        _wake.Dispose();
        _carry.Dispose();
        _steer.Dispose();
    }

    private async Task ClaimAsync(CancellationToken stop)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, _lease.Lost);
        while (!either.IsCancellationRequested)
        {
            var free = Math.Min(_options.Slots - _runs.Count, 1000);
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

            if (claimed < free || free == 0)
            {
                var again = free > 0 && _store.ClaimAgainIn < _options.PollInterval ? _store.ClaimAgainIn.Value : _options.PollInterval;
                await ((Task)_wake.WaitAsync(again, either.Token)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
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
        _services.Metrics.RunsClaimed(_settings.Queue, claimed.Count);
        var again = claimed.FindAll(run => run.Epoch > 1);
        if (again.Count > 0)
        {
            await _store.LoadAsync(again, CancellationToken.None).ConfigureAwait(false);
        }

        foreach (var run in claimed)
        {
            var execution = new RunExecution(run, _services, _lease.Lost);
            var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _runs[run.RunId] = (execution, ExecuteAsync(execution, begin.Task));
            begin.SetResult();
        }

        return claimed.Count;
    }

    private async Task ExecuteAsync(RunExecution run, Task begin)
    {
        await begin.ConfigureAwait(false);
        if (!await _executor.ExecuteAsync(run).ConfigureAwait(false))
        {
            _strays = true;
        }

        _runs.TryRemove(run.RunId, out _);
        run.Dispose();
        if (run.HasFamily && _carry.CurrentCount == 0)
        {
            _carry.Release();
        }

        Wake();
    }

    // Steps in progress may end, none begins; then they are told to end; then the runs are given back.
    private async Task StopAsync()
    {
        EngineLog.WorkerStopping(_logger, WorkerId, _runs.Count);
        foreach (var (run, _) in _runs.Values)
        {
            run.BeginStop();
            _services.Signals.Raise(WorkerMoment.Stopping, run.RunId);
        }

        await LeftAsync(_options.ShutdownGrace).ConfigureAwait(false);
        foreach (var (run, _) in _runs.Values)
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
        if (held.Length == 0)
        {
            return;
        }

        foreach (var (runId, order) in await _store.SteeredAsync([.. held.Select(run => run.Key)], cancellationToken).ConfigureAwait(false))
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

    // The ends of runs are carried to their parents and children at once when this worker has ended one, and now and then for
    // whatever others have left.
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

            await ((Task)_carry.WaitAsync(_options.LeasePeriod / 4, end)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Attempts that have gone on for a while are shown with their last sign of life.
    private async Task ShowAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            await Task.Delay(ShowInterval, _time, end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var (run, _) in end.IsCancellationRequested ? [] : _runs.Values)
            {
                foreach (var attempt in run.Attempts.Keys)
                {
                    if (attempt.Took >= ShowInterval)
                    {
                        _services.Writer.Post(attempt.OpenWrite(null));
                    }
                }
            }
        }
    }

    // A few small batches at a time: nobody waits for it, and others want the disk as well.
    private async Task ForgetAsync(CancellationToken end)
    {
        for (var batch = 0; batch < 10 && _options.KeepFinished is { } keep; batch++)
        {
            if (await _store.ForgetAsync(keep, ForgottenAtOnce, end).ConfigureAwait(false) < ForgottenAtOnce)
            {
                return;
            }
        }
    }

    private async Task SweepAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            try
            {
                var (lost, freed) = await _store.SweepAsync(_options.LeasePeriod, end).ConfigureAwait(false);
                lost.ForEach(worker => EngineLog.OtherWorkerLost(_logger, worker.Name, worker.Id));
                if (freed > 0)
                {
                    Wake();
                }

                await ForgetAsync(end).ConfigureAwait(false);
            }
            catch (Exception error) when (!end.IsCancellationRequested)
            {
                EngineLog.TriedAgain(_logger, "Sweeping", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return;
            }

            await Task.Delay(_options.LeasePeriod / 4, _time, end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
