using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workflows;

/// <summary>What workflow code sees of its run. Await only what this offers; other waits are invisible to the engine.</summary>
public interface IWorkflowContext
{
    /// <summary>The run's id; the same on every claim.</summary>
    Guid RunId { get; }

    /// <summary>The epoch of this claim: grows at every claim, so it can fence writes to other systems.</summary>
    long Epoch { get; }

    /// <summary>The version of the code that the run began with, and goes on with; see <c>AddWorkflow</c>.</summary>
    int Version { get; }

    /// <summary>How often the run as a whole was begun, from 1; more when it was started with <c>StartOptions.Retry</c>.</summary>
    int RunAttempt { get; }

    /// <summary>The occurrence for which a schedule started this run; null when no schedule did.</summary>
    DateTimeOffset? ScheduledFor { get; }

    /// <summary>
    /// Fires when the run is to stop: cancel was asked for, the lease was lost, or the worker shuts down. Only the first ends
    /// the run; after the other two it goes on elsewhere from its records.
    /// </summary>
    CancellationToken CancellationToken { get; }

    /// <summary>Runs a step once and records its output; on resume the record answers and <paramref name="body"/> is not called.</summary>
    /// <param name="name">The step's name, at most 200 characters; checked against the record on resume.</param>
    /// <param name="body">One attempt. It may be called again after a failure, so it must be idempotent or use checkpoints.</param>
    /// <param name="options">Timeouts and retries; <see cref="StepOptions.Default"/> when null.</param>
    /// <exception cref="StepFailedException">The step failed for good: non-retryable, or its attempts or time are used up.</exception>
    /// <exception cref="WorkflowChangedException">Another step was recorded at this place: the code changed under the run.</exception>
    /// <exception cref="OperationCanceledException">The run is to stop; see <see cref="CancellationToken"/>.</exception>
    Task<T> StepAsync<T>(string name, Func<IStepContext, Task<T>> body, StepOptions? options = null);

    /// <summary>A step without output. See <see cref="StepAsync{T}"/>.</summary>
    Task StepAsync(string name, Func<IStepContext, Task> body, StepOptions? options = null);

    /// <summary>One step per item, several at a time; answers in the order of the items.</summary>
    /// <param name="name">The steps' common name; each item has its own place in the record.</param>
    /// <param name="items">At most 100,000 items, the same on every resume.</param>
    /// <param name="maxParallel">How many attempts may execute at once, at least 1.</param>
    /// <param name="body">One attempt for one item.</param>
    /// <param name="options">Timeouts and retries, for each item's step.</param>
    /// <exception cref="StepFailedException">A step failed for good; those in progress are cancelled and awaited first.</exception>
    Task<IReadOnlyList<TOut>> StepsAsync<TItem, TOut>(
        string name,
        IReadOnlyList<TItem> items,
        int maxParallel,
        Func<IStepContext, TItem, Task<TOut>> body,
        StepOptions? options = null);

    /// <summary>
    /// A step whose rows and record are committed in one transaction of the engine's database: exactly once, with no
    /// idempotency key. The body uses <c>transaction.Connection</c> and neither commits nor rolls back.
    /// </summary>
    Task<T> StepInTransactionAsync<T>(
        string name,
        Func<IStepContext, NpgsqlTransaction, Task<T>> body,
        StepOptions? options = null);

    /// <summary>A durable timer: recorded once, survives every death; a long one gives the slot back.</summary>
    /// <param name="duration">From the first time the code gets here, by the database's clock. Zero or less passes at once.</param>
    Task SleepAsync(TimeSpan duration);

    /// <summary>
    /// Waits for a signal: one that was sent before or comes while it waits. Each signal is taken once, in the order in which
    /// those of its name came. A long wait gives the slot back.
    /// </summary>
    /// <param name="name">The signal's name, at most 200 characters.</param>
    /// <param name="timeout">From the first time the code gets here, by the database's clock. Default for ever.</param>
    /// <returns>The signal; null when none came in time.</returns>
    /// <exception cref="NonRetryableException">The signal does not carry a <typeparamref name="T"/>.</exception>
    Task<Signal<T>?> WaitForSignalAsync<T>(string name, TimeSpan? timeout = null);

    /// <summary>Starts another run as this one's child, once: the start and its record are one transaction.</summary>
    /// <returns>The child's run id.</returns>
    Task<Guid> StartChildAsync<TInput>(string workflow, TInput input, ChildOptions? options = null);

    /// <summary>Waits until a child is final, and answers its output. A long wait gives the slot back.</summary>
    /// <param name="child">What <see cref="StartChildAsync"/> answered.</param>
    /// <exception cref="ChildFailedException">The child ended otherwise than completed.</exception>
    Task<TOutput> ChildResultAsync<TOutput>(Guid child);

    /// <summary>
    /// Says how the run is doing, for anybody who looks (<c>engine.runs.custom_status</c>, <c>RunStatus.CustomStatus</c>).
    /// Durable when it returns; the latest counts. Not encrypted.
    /// </summary>
    /// <param name="status">At most 1,000 characters.</param>
    Task SetStatusAsync(string status);

    /// <summary>
    /// Ends this round of a run that goes on for ever: <c>throw run.ContinueAsNew(input)</c> begins it anew, under the same id,
    /// with this input and an empty record, and with the newest version of its code.
    /// </summary>
    Exception ContinueAsNew<TInput>(TInput input);

    /// <summary>
    /// The same run for code that must be done even after a cancel: its steps and waits are not ended by it. Use it where the
    /// code catches the cancel, to clean up. Its steps have places of their own.
    /// </summary>
    IWorkflowContext Shielded { get; }

    /// <summary>Writes a line to the run's log (<c>engine.run_log</c>). Best effort: lines may be lost with the process.</summary>
    void Log(LogLevel level, string message);
}
