using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>One attempt of a step: what its code sees, its clocks and its checkpoint.</summary>
internal sealed class StepAttempt : IStepContext, IDisposable
{
    private readonly RunExecution _run;
    private readonly WorkerServices _services;
    private readonly StepOptions _options;
    // Only of an attempt that can expire.
    private readonly CancellationTokenSource? _expired;
    private readonly CancellationTokenSource? _stop;
    private readonly ITimer? _clock;
    private SemaphoreSlim? _committing;
    private readonly long _began;
    private long _alive;
    private volatile bool _ended;

    public StepAttempt(
        RunExecution run, WorkerServices services, int place, string name, int attempt, byte[]? checkpoint, StepOptions options, CancellationToken stop)
    {
        _run = run;
        _services = services;
        _options = options;
        Place = place;
        Name = name;
        Attempt = attempt;
        StoredCheckpoint = checkpoint;
        _began = _alive = services.Time.GetTimestamp();
        CancellationToken = stop;
        if (options.StartToClose is not null || options.HeartbeatTimeout is not null)
        {
            _expired = new CancellationTokenSource();
            _stop = CancellationTokenSource.CreateLinkedTokenSource(stop, _expired.Token);
            CancellationToken = _stop.Token;
            var look = TimeSpan.FromTicks(Math.Clamp(
                Math.Min(options.StartToClose?.Ticks ?? long.MaxValue, options.HeartbeatTimeout?.Ticks ?? long.MaxValue) / 10,
                TimeSpan.TicksPerMillisecond * 10,
                TimeSpan.TicksPerSecond));
            _clock = services.Time.CreateTimer(_ => LookAtClock(), null, look, look);
        }
    }

    public Guid RunId => _run.RunId;

    public string Name { get; }

    public int Place { get; }

    public int Attempt { get; }

    public long FencingToken => _run.Epoch;

    public string IdempotencyKey => string.Create(CultureInfo.InvariantCulture, $"{RunId}/{Place}");

    public CancellationToken CancellationToken { get; }

    /// <summary>The last checkpoint, as stored.</summary>
    public byte[]? StoredCheckpoint { get; private set; }

    /// <summary>Whether the step has, or is about to have, an open_step row.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>Who sets a heartbeat timeout expects a long attempt: it is shown from its start, and kept if its worker dies.</summary>
    public bool IsLong => _options.HeartbeatTimeout is not null;

    /// <summary>The timeout that has passed, if one has.</summary>
    public StepTimeoutException? Timeout { get; private set; }

    /// <summary>How long the attempt has lasted.</summary>
    public TimeSpan Took => _services.Time.GetElapsedTime(_began);

    public bool TryGetCheckpoint<T>([MaybeNullWhen(false)] out T checkpoint)
    {
        var stored = StoredCheckpoint;
        checkpoint = stored is null ? default : _services.Codec.Read<T>(stored, Places.Checkpoint(RunId, Place));
        return stored is not null;
    }

    public async Task CommitAsync<T>(T checkpoint, Func<NpgsqlTransaction, CancellationToken, Task>? alongside = null)
    {
        // Not CancellationToken: work that is done is kept, even while stopping; a lost lease is refused by the epoch.
        var committing = LazyInitializer.EnsureInitialized(ref _committing, () => new SemaphoreSlim(1));
        await committing.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            ThrowIfEnded();
            var stored = _services.Codec.Write(checkpoint, Places.Checkpoint(RunId, Place));
            IsOpen = _run.HadOpenSteps = true;
            if (alongside is null)
            {
                await _services.Writer.WriteAsync(OpenWrite(stored)).ConfigureAwait(false);
            }
            else if (!await _services.Writes.CommitWithAsync(
                RunId,
                FencingToken,
                _services.Options.LeasePeriod,
                async (transaction, _) =>
                {
                    await alongside(transaction, CancellationToken).ConfigureAwait(false);
                    ThrowIfEnded();
                    return OpenWrite(stored);
                },
                CancellationToken.None).ConfigureAwait(false))
            {
                _services.Writer.CountRefused(1);
                throw new LeaseLostException($"Run {RunId} is no longer held under epoch {FencingToken}; the checkpoint was not written.");
            }

            StoredCheckpoint = stored;
            Heartbeat();
            _services.Signals.Raise(WorkerMoment.Checkpointed, RunId, Name);
        }
        finally
        {
            committing.Release();
        }
    }

    public void Heartbeat()
    {
        if (!_ended)
        {
            Volatile.Write(ref _alive, _services.Time.GetTimestamp());
        }
    }

    public void Log(LogLevel level, string message) => _run.Log(level, Name, message);

    /// <summary>The row that shows this attempt in progress.</summary>
    public Write OpenWrite(byte[]? checkpoint)
    {
        IsOpen = _run.HadOpenSteps = true;
        return new Write(WriteKind.OpenStep, RunId, FencingToken)
        {
            Place = Place,
            Name = Name,
            Attempt = Attempt,
            Payload = checkpoint,
            Took = Took,
            Wait = checkpoint is null ? _services.Time.GetElapsedTime(Volatile.Read(ref _alive)) : TimeSpan.Zero,
        };
    }

    /// <summary>From now on the code, if it still goes on, can commit nothing.</summary>
    public void End()
    {
        _ended = true;
        _clock?.Dispose();
    }

    public void Dispose()
    {
        End();
        _stop?.Dispose();
        _expired?.Dispose();
    }

    private void ThrowIfEnded()
    {
        if (_ended)
        {
            throw new OperationCanceledException($"Attempt {Attempt} of step \"{Name}\" is over; it can commit nothing any more.");
        }
    }

    private void LookAtClock()
    {
        var quiet = _services.Time.GetElapsedTime(Volatile.Read(ref _alive));
        if (_options.StartToClose is { } longest && Took >= longest)
        {
            Timeout ??= new StepTimeoutException($"The attempt took longer than StartToClose, {longest}.");
        }
        else if (_options.HeartbeatTimeout is { } longestQuiet && quiet >= longestQuiet)
        {
            Timeout ??= new StepTimeoutException($"The attempt gave no sign of life for HeartbeatTimeout, {longestQuiet}.");
        }
        else
        {
            return;
        }

        try
        {
            _expired!.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It ended while we looked.
        }
    }
}
