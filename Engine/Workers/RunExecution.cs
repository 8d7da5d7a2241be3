using System.Collections.Concurrent;
using System.Text.Json;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>A run in this worker, from its claim until it is left; what its code sees as its context.</summary>
internal sealed class RunExecution : IWorkflowContext, IDisposable
{
    private readonly WorkerServices _services;
    private readonly StepRunner _steps;
    private readonly CancellationTokenSource _cancel = new();
    private readonly CancellationTokenSource _drop = new();
    private readonly CancellationTokenSource _stop;
    private int _nextPlace;
    private volatile bool _isStopping;

    public RunExecution(ClaimedRun claimed, WorkerServices services, CancellationToken lost)
    {
        Claimed = claimed;
        _services = services;
        _steps = new StepRunner(this, services);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(lost, _cancel.Token, _drop.Token);
        CancellationToken = _stop.Token;
        Activity = new RunActivity(services.Time, services.Options.LongestWaitInSlot);
        HadOpenSteps = claimed.Begun.Count > 0;
        if (claimed.CancelRequested)
        {
            _cancel.Cancel();
        }
    }

    public ClaimedRun Claimed { get; }

    public RunActivity Activity { get; }

    /// <summary>The attempts in progress.</summary>
    public ConcurrentDictionary<StepAttempt, byte> Attempts { get; } = new();

    public Guid RunId => Claimed.RunId;

    public long Epoch => Claimed.Epoch;

    public DateTimeOffset? ScheduledFor => Claimed.ScheduledFor;

    public CancellationToken CancellationToken { get; }

    public bool IsCancelled => _cancel.IsCancellationRequested;

    /// <summary>The worker stops: attempts go on for a while, but none begins.</summary>
    public bool IsStopping => _isStopping;

    /// <summary>Whether anything of the run may stand among the open steps.</summary>
    public bool HadOpenSteps { get; set; }

    public void Cancel() => _cancel.Cancel();

    public void BeginStop() => _isStopping = true;

    /// <summary>Tells the code to end without the run being cancelled.</summary>
    public void Drop() => _drop.Cancel();

    public Task<T> StepAsync<T>(string name, Func<IStepContext, Task<T>> body, StepOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(body);
        var place = TakePlaces(name, 1);
        return StepAsync(place, name, body, (options ?? StepOptions.Default).Validate(), CancellationToken);
    }

    public async Task StepAsync(string name, Func<IStepContext, Task> body, StepOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(body);
        await StepAsync<object?>(
            name,
            async step =>
            {
                await body(step).ConfigureAwait(false);
                return null;
            },
            options).ConfigureAwait(false);
    }

    public async Task<IReadOnlyList<TOut>> StepsAsync<TItem, TOut>(
        string name, IReadOnlyList<TItem> items, int maxParallel, Func<IStepContext, TItem, Task<TOut>> body, StepOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(items);
        ArgumentNullException.ThrowIfNull(body);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxParallel, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(items.Count, 100_000, nameof(items));
        var valid = (options ?? StepOptions.Default).Validate();
        var first = TakePlaces(name, items.Count);
        var failed = Enumerable.Range(first, items.Count)
            .FirstOrDefault(place => Claimed.Records.GetValueOrDefault(place)?.Error is not null, -1);
        if (failed >= 0)
        {
            return [await StepAsync(failed, name, step => body(step, items[failed - first]), valid, CancellationToken).ConfigureAwait(false)];
        }

        using var group = CancellationTokenSource.CreateLinkedTokenSource(CancellationToken);
        using var lanes = new SemaphoreSlim(maxParallel);
        var steps = items.Select((item, index) => LaneAsync(first + index, item)).ToArray();
        try
        {
            return await Task.WhenAll(steps).ConfigureAwait(false);
        }
        catch (Exception) when (Array.Find(steps, step => step.Exception?.InnerException is StepFailedException) is { } guilty)
        {
            // Not one of those that were cancelled because of it.
            await guilty.ConfigureAwait(false);
            throw;
        }

        async Task<TOut> LaneAsync(int place, TItem item)
        {
            if (Claimed.Records.ContainsKey(place))
            {
                return await StepAsync(place, name, step => body(step, item), valid, group.Token).ConfigureAwait(false);
            }

            await lanes.WaitAsync(group.Token).ConfigureAwait(false);
            try
            {
                return await StepAsync(place, name, step => body(step, item), valid, group.Token).ConfigureAwait(false);
            }
            catch
            {
                await group.CancelAsync().ConfigureAwait(false);
                throw;
            }
            finally
            {
                lanes.Release();
            }
        }
    }

    public Task<T> StepInTransactionAsync<T>(string name, Func<IStepContext, NpgsqlTransaction, Task<T>> body, StepOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(body);
        var place = TakePlaces(name, 1);
        return AnswerAsync<T>(
            place, name, step => InTransactionAsync(step, body), (options ?? StepOptions.Default).Validate(), CancellationToken);
    }

    public async Task SleepAsync(TimeSpan duration)
    {
        const string Name = "sleep";
        var place = TakePlaces(Name, 1);
        if (Recorded(place, Name) is { } record)
        {
            duration = record.WakeIn ?? throw Changed(place, Name, record.Name);
        }
        else
        {
            CancellationToken.ThrowIfCancellationRequested();
            await _services.Writer.WriteAsync(new Write(WriteKind.Record, RunId, Epoch) { Place = place, Name = Name, Wait = duration }).ConfigureAwait(false);
        }

        if (duration > TimeSpan.Zero)
        {
            await Activity.WaitAsync(duration, CancellationToken).ConfigureAwait(false);
        }
    }

    public void Log(LogLevel level, string message) => Log(level, null, message);

    public void Log(LogLevel level, string? step, string message) => _services.Writer.Post(new Write(WriteKind.Log, RunId, Epoch)
    {
        State = level.ToString().ToLowerInvariant(), Name = step, Error = ErrorText.Scrub(message), Wait = TimeSpan.Zero,
    });

    /// <summary>
    /// Unties the run from the session's token, which lives much longer. The run's own sources stay: somebody may just be
    /// about to cancel it.
    /// </summary>
    public void Dispose() => _stop.Dispose();

    private static WorkflowChangedException Changed(int place, string name, string recorded) => new(
        $"The code asks for step \"{name}\" at place {place}, where step \"{recorded}\" was recorded: the workflow's code has changed under this run.");

    private int TakePlaces(string name, int count)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, 200, nameof(name));
        return Interlocked.Add(ref _nextPlace, count) - count;
    }

    private StepRecord? Recorded(int place, string name)
    {
        if (!Claimed.Records.TryGetValue(place, out var record))
        {
            return null;
        }

        return record.Name == name ? record : throw Changed(place, name, record.Name);
    }

    private Task<T> StepAsync<T>(int place, string name, Func<IStepContext, Task<T>> body, StepOptions options, CancellationToken stop) =>
        AnswerAsync<T>(
            place,
            name,
            async step => new StepResult(
                _services.Codec.Write(await body(step).ConfigureAwait(false), Places.Step(RunId, place)), IsRecorded: false),
            options,
            stop);

    private async Task<T> AnswerAsync<T>(int place, string name, Func<StepAttempt, Task<StepResult>> body, StepOptions options, CancellationToken stop)
    {
        var record = Recorded(place, name);
        if (record?.Error is { } error)
        {
            throw new StepFailedException(name, record.Attempts, error);
        }

        if (record?.WakeIn is not null)
        {
            throw Changed(place, name, record.Name);
        }

        var output = record?.Output ?? await _steps.RunAsync(place, name, body, options, stop).ConfigureAwait(false);
        try
        {
            return _services.Codec.Read<T>(output, Places.Step(RunId, place));
        }
        catch (JsonException exception)
        {
            throw new WorkflowChangedException(
                $"What step \"{name}\" at place {place} recorded is not a {typeof(T).Name}: the workflow's code has changed under this run. {exception.Message}");
        }
    }

    private async Task<StepResult> InTransactionAsync<T>(StepAttempt step, Func<IStepContext, NpgsqlTransaction, Task<T>> body)
    {
        // An earlier attempt may have committed and lost the answer.
        if (step.Attempt > 1
            && await _services.Writes.FindRecordAsync(RunId, step.Place, step.CancellationToken).ConfigureAwait(false) is { } found)
        {
            return new StepResult(found, IsRecorded: true);
        }

        var output = Array.Empty<byte>();
        var held = await _services.Writes.CommitWithAsync(
            RunId,
            Epoch,
            _services.Options.LeasePeriod,
            async (transaction, _) =>
            {
                output = _services.Codec.Write(await body(step, transaction).ConfigureAwait(false), Places.Step(RunId, step.Place));
                return new Write(WriteKind.Record, RunId, Epoch)
                {
                    Place = step.Place, Name = step.Name, Attempt = step.Attempt, Payload = output, Took = step.Took, ClosesOpen = true,
                };
            },
            step.CancellationToken).ConfigureAwait(false);
        if (!held)
        {
            _services.Writer.CountRefused(1);
            throw new LeaseLostException($"Run {RunId} is no longer held under epoch {Epoch}; step \"{step.Name}\" wrote nothing.");
        }

        return new StepResult(output, IsRecorded: true);
    }
}
