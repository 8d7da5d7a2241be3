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
/// A worker from its registration until it has stopped or lost its lease: puts its parts together, shows
/// what is in progress, carries the ends of runs, and gives back what is left at the end.
/// </summary>
internal sealed class WorkerSession : IAsyncDisposable
{
    private const int ManySlots = 2000;
    private static readonly TimeSpan ShowInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ShortPause = TimeSpan.FromMilliseconds(5);
    private readonly WorkerSettings _settings;
    private readonly WorkerOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly NpgsqlDataSource _data;
    private readonly NpgsqlDataSource _callers;
    private readonly QuietConnection _quiet;
    private readonly WorkerStore _store;
    private readonly WorkerServices _services;
    private readonly HeldRuns _runs;
    private readonly LeaseKeeper _lease;
    private readonly IdleLook _look;
    private readonly RunClaimer _claimer;
    private readonly RunSteering _steering;
    private readonly WorkerSweep _sweep;
    private readonly IndexUpkeep _upkeep;
    private readonly Bell _carry = new();
    private volatile bool _stopping;
    private volatile WorkerPhase _phase = WorkerPhase.Starting;

    public WorkerSession(
        WorkerSettings settings, EngineDatabase database, PayloadCodec codec, EngineClient client, IServiceScopeFactory scopes, WorkSignal signal,
        ScheduleBell schedules, TimeProvider time, EngineMetrics metrics, WorkerSignals signals, ILogger logger)
    {
        _settings = settings;
        _options = settings.Options;
        _time = time;
        _logger = logger;
        WorkerId = Guid.CreateVersion7();
        var writers = _options.Writers ?? (_options.Slots < ManySlots ? 1 : 2);
        _data = database.OpenFor(WorkerId, writers + 6);
        _callers = database.OpenFor(WorkerId, Math.Clamp(_options.Slots, 2, 8), isCallers: true);
        _quiet = new QuietConnection(_data);
        _store = new WorkerStore(_data, WorkerId, _quiet);
        var writes = new WriteStore(_data, WorkerId, _callers);
        var writer = new CommitWriter(writes, writers, time, metrics, logger);
        _services = new WorkerServices(WorkerId, _options, writer, writes, new EventStore(_data), client, codec, time, metrics, signals, logger);
        _runs = new HeldRuns(logger);
        _lease = new LeaseKeeper(_store, _options, TestClock.Unmoved(time), logger);
        _look = new IdleLook(settings, signal, schedules, time, Wake);
        _claimer = new RunClaimer(settings, _services, _store, _lease, _look, _runs, new RunExecutor(_services, scopes, settings.Workflows), _carry.Ring);
        _steering = new RunSteering(_runs, _store, logger);
        _sweep = new WorkerSweep(settings, _store, _services, () => _runs.IsEmpty && _look.FoundNoChores, Wake, _carry.Ring);
        _upkeep = new IndexUpkeep(database, _data, _quiet, WorkerId, _options, time, metrics, logger);
    }

    public Guid WorkerId { get; }

    /// <summary>The runs that are here now.</summary>
    public IEnumerable<RunExecution> Held => _runs.All;

    public WorkerPhase Phase => _lease.IsLost ? WorkerPhase.Lost : _phase;

    /// <summary>How long ago it last asked for runs and got an answer; null before the first.</summary>
    public TimeSpan? LastClaimAge => _claimer.LastClaimAge;

    /// <summary>A test has moved the clock: look at once for whatever may be due.</summary>
    public void LookNow()
    {
        Wake();
        _carry.Ring();
    }

    /// <summary>Work may be waiting: look now.</summary>
    public void Wake() => _claimer.Wake();

    /// <summary>Something is asked of a run, which may be held here.</summary>
    public void Steer(Guid runId, string order) => _steering.Steer(runId, order);

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
        var dropping = _lease.Lost.UnsafeRegister(static runs => ((HeldRuns)runs!).DropAll(), _runs);
        await using var droppingNoMore = dropping.ConfigureAwait(false);
        var keeping = _lease.KeepAsync(() => _runs.Count, () => _stopping, _services.Writer, _look, _steering.LookAsync, end.Token);
        var beside = Task.WhenAll(
            _sweep.RunAsync(end.Token), _upkeep.RunAsync(end.Token), ShowAsync(end.Token), CarryAsync(end.Token), _steering.RunAsync(end.Token));
        await _claimer.RunAsync(stop).ConfigureAwait(false);
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
        _claimer.Dispose();
        _carry.Dispose();
        _steering.Dispose();
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
        _runs.DropAll();
    }

    private Task LeftAsync(TimeSpan longest) => _runs.LeftAsync(longest, _time, _stopping && !_lease.IsLost ? _lease.Lost : CancellationToken.None);

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

            await _carry.HeardAsync(end).ConfigureAwait(false);
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
}
