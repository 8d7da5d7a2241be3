using System.Text.Json;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>What a run's code sees: each call takes its place in the record, and is answered from there when it was recorded.</summary>
internal sealed class WorkflowContext : IWorkflowContext
{
    // Steps of a shielded context have places of their own, so that what was done before a cancel does not shift them.
    private const int FirstShieldedPlace = 1 << 30;

    private readonly RunExecution _run;
    private readonly WorkerServices _services;
    private readonly bool _isShielded;
    private WorkflowContext? _shielded;
    private int _nextPlace;

    public WorkflowContext(RunExecution run, WorkerServices services, bool isShielded = false)
    {
        _run = run;
        _services = services;
        _nextPlace = isShielded ? FirstShieldedPlace : 0;
        _isShielded = isShielded;
        CancellationToken = isShielded ? run.ShieldedToken : run.CancellationToken;
    }

    public Guid RunId => _run.RunId;

    public long Epoch => _run.Epoch;

    public int Version => _run.Claimed.Version;

    public int RunAttempt => _run.Claimed.RunAttempt;

    public DateTimeOffset? ScheduledFor => _run.Claimed.ScheduledFor;

    public CancellationToken CancellationToken { get; }

    public IWorkflowContext Shielded => _isShielded
        ? this
        : LazyInitializer.EnsureInitialized(ref _shielded, () => new WorkflowContext(_run, _services, isShielded: true));

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
            .FirstOrDefault(place => _run.Claimed.Records.GetValueOrDefault(place)?.Error is not null, -1);
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
            if (_run.Claimed.Records.ContainsKey(place))
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
        var left = await LeftAsync(TakePlaces(Name, 1), Name, duration).ConfigureAwait(false);
        if (left > TimeSpan.Zero)
        {
            await _run.Activity.WaitAsync(left, CancellationToken).ConfigureAwait(false);
        }
    }

    public void Log(LogLevel level, string message) => _run.Log(level, null, message);

    public Task<Signal<T>?> WaitForSignalAsync<T>(string name, TimeSpan? timeout = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var step = "signal " + name;
        var deadline = step + " deadline";
        var timer = timeout is null ? -1 : TakePlaces(deadline, 1);
        var place = TakePlaces(step, 1);
        return new SignalWait(_run, _services).TakeAsync<T>(
            name, place, Recorded(place, step)?.Output, timeout is { } longest ? () => LeftAsync(timer, deadline, longest) : null, CancellationToken);
    }

    public Task<Guid> StartChildAsync<TInput>(string workflow, TInput input, ChildOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(workflow);
        var step = "child " + workflow;
        var place = TakePlaces(step, 1);
        return new ChildRuns(_run, _services).StartAsync(workflow, input, options ?? new ChildOptions(), step, place, Recorded(place, step)?.Output, CancellationToken);
    }

    public Task<TOutput> ChildResultAsync<TOutput>(Guid child)
    {
        const string Step = "child result";
        var place = TakePlaces(Step, 1);
        return new ChildRuns(_run, _services).ResultAsync<TOutput>(child, Step, place, Recorded(place, Step)?.Output, CancellationToken);
    }

    public Task SetStatusAsync(string status)
    {
        ArgumentNullException.ThrowIfNull(status);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(status.Length, 1000, nameof(status));
        return _services.Writer.WriteAsync(new Write(WriteKind.Status, RunId, Epoch) { State = status });
    }

    public Exception ContinueAsNew<TInput>(TInput input) => new ContinueAsNewException(_services.Codec.Write(input, Places.Input(RunId)));

    // What is left of a timer, which is recorded when the code first gets here.
    private async Task<TimeSpan> LeftAsync(int place, string name, TimeSpan duration)
    {
        if (Recorded(place, name) is { } record)
        {
            return record.WakeIn ?? throw Changed(place, name, record.Name);
        }

        CancellationToken.ThrowIfCancellationRequested();
        await _services.Writer.WriteAsync(new Write(WriteKind.Record, RunId, Epoch) { Place = place, Name = name, Wait = duration }).ConfigureAwait(false);
        return duration;
    }

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
        if (!_run.Claimed.Records.TryGetValue(place, out var record))
        {
            return null;
        }

        if (record.Name != name)
        {
            // After a cancel the code may have gone another way than it goes now, when it hears of the cancel at its start.
            CancellationToken.ThrowIfCancellationRequested();
            throw Changed(place, name, record.Name);
        }

        return record;
    }

    private Task<T> StepAsync<T>(int place, string name, Func<IStepContext, Task<T>> body, StepOptions options, CancellationToken stop) =>
        AnswerAsync<T>(
            place,
            name,
            async step => new StepResult(Output(place, name, await body(step).ConfigureAwait(false)), IsRecorded: false),
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

        var output = record?.Output ?? await _run.Steps.RunAsync(place, name, body, options, stop).ConfigureAwait(false);
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

    private byte[] Output<T>(int place, string name, T value)
    {
        var output = _services.Codec.Write(value, Places.Step(RunId, place));
        return output.Length <= _services.Options.LargestPayload ? output : throw new NonRetryableException(
            $"The output of step \"{name}\" has {output.Length:N0} bytes as stored; WorkerOptions.LargestPayload allows {_services.Options.LargestPayload:N0}. Keep it elsewhere and return where it is.");
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
        bool held;
        try
        {
            held = await _services.Writes.CommitWithAsync(
                RunId,
                Epoch,
                _services.Options.LeasePeriod,
                async (transaction, _) =>
                {
                    output = Output(step.Place, step.Name, await body(step, transaction).ConfigureAwait(false));
                    return new Write(WriteKind.Record, RunId, Epoch)
                    {
                        Place = step.Place, Name = step.Name, Attempt = step.Attempt, Payload = output, Took = step.Took, ClosesOpen = true,
                    };
                },
                step.CancellationToken).ConfigureAwait(false);
        }
        catch (AlreadyRecordedException)
        {
            // Its commit came after this attempt had looked.
            output = await _services.Writes.FindRecordAsync(RunId, step.Place, step.CancellationToken).ConfigureAwait(false);
            return new StepResult(output!, IsRecorded: true);
        }

        if (!held)
        {
            _services.Writer.CountRefused(1);
            throw new LeaseLostException($"Run {RunId} is no longer held under epoch {Epoch}; step \"{step.Name}\" wrote nothing.");
        }

        return new StepResult(output, IsRecorded: true);
    }
}
