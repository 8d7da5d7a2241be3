using Exporter.Engine.Client;

namespace Exporter.Engine.Workflows;

/// <summary>Thrown by a step's code: this will not get better by trying again. Ends the step at once.</summary>
public sealed class NonRetryableException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Thrown by a step's code: try again, but not before <paramref name="after"/> (a server's Retry-After).</summary>
/// <param name="message">What happened.</param>
/// <param name="after">The least wait before the next attempt; the retry policy's wait if that is longer.</param>
/// <param name="inner">The cause.</param>
public sealed class RetryAfterException(string message, TimeSpan after, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The least wait before the next attempt.</summary>
    public TimeSpan After { get; } = after;
}

/// <summary>A step failed for good. <see cref="Exception.Message"/> ends with the message of the last attempt's error.</summary>
/// <param name="step">The step's name.</param>
/// <param name="attempts">How many attempts there were.</param>
/// <param name="error">The last attempt's error, in one line.</param>
/// <param name="inner">The last attempt's exception; null when the failure is read back from the record.</param>
public sealed class StepFailedException(string step, int attempts, string error, Exception? inner = null)
    : Exception($"Step \"{step}\" failed after {attempts} attempt{(attempts == 1 ? "" : "s")}: {error}", inner)
{
    /// <summary>The step's name.</summary>
    public string Step { get; } = step;

    /// <summary>How many attempts there were.</summary>
    public int Attempts { get; } = attempts;

    /// <summary>The last attempt's error, in one line.</summary>
    public string Error { get; } = error;
}

/// <summary>The code asks for another step than was recorded at this place: it changed under a running run.</summary>
public sealed class WorkflowChangedException(string message) : Exception(message);

/// <summary>
/// This worker no longer holds the run: its lease ended and the run belongs to another epoch. Nothing was written. Not an
/// error of the step; let it pass.
/// </summary>
public sealed class LeaseLostException(string message) : OperationCanceledException(message);

/// <summary>An attempt took longer than a timeout allows; the message names the timeout and its value.</summary>
public sealed class StepTimeoutException(string message) : TimeoutException(message);

/// <summary>A child ended otherwise than completed, and its parent asked for its result.</summary>
public sealed class ChildFailedException(Guid runId, RunState state, string? error)
    : Exception($"Child run {runId} is {state.ToText()}{(error is null ? "." : ": " + error)}")
{
    /// <summary>The child.</summary>
    public Guid RunId { get; } = runId;

    /// <summary>Its final state.</summary>
    public RunState State { get; } = state;
}

/// <summary>Made by <see cref="IWorkflowContext.ContinueAsNew{TInput}"/> and thrown by the run's code; the engine understands it.</summary>
internal sealed class ContinueAsNewException(byte[] input) : Exception("The run begins anew with another input.")
{
    public byte[] Input { get; } = input;
}

/// <summary>A run ended otherwise than completed, and its result was asked for.</summary>
public sealed class RunFailedException(Guid runId, RunState state, string? error)
    : Exception($"Run {runId} is {state.ToText()}{(error is null ? "." : ": " + error)}")
{
    /// <summary>The run.</summary>
    public Guid RunId { get; } = runId;

    /// <summary>Its final state.</summary>
    public RunState State { get; } = state;
}
