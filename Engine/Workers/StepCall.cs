using Exporter.Engine.Observability;

namespace Exporter.Engine.Workers;

/// <summary>
/// One call of a step's code, on a thread of the pool, so that code which blocks its thread can be left behind. A step is called
/// a million times where another thing is done once: this does what <c>Task.Run</c> and <c>WaitAsync</c> would do, with a third
/// of the objects.
/// </summary>
internal sealed class StepCall(StepAttempt attempt, Func<StepAttempt, Task<StepResult>> body, TimeSpan grace, TimeProvider time) : IThreadPoolWorkItem
{
    private readonly ExecutionContext? _flow = ExecutionContext.Capture();
    private readonly TaskCompletionSource<Task<StepResult>?> _ended = new();
    private CancellationTokenRegistration _stop;
    private Task<StepResult>? _code;

    /// <summary>Calls the code.</summary>
    /// <returns>The code's task, which has ended; null when it was told to end and has not within the grace.</returns>
    public Task<Task<StepResult>?> EndAsync()
    {
        _stop = attempt.CancellationToken.UnsafeRegister(static call => _ = ((StepCall)call!).LeaveAsync(), this);
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
        return _ended.Task;
    }

    public void Execute()
    {
        if (_flow is null)
        {
            Call();
        }
        else
        {
            ExecutionContext.Run(_flow, static call => ((StepCall)call!).Call(), this);
        }
    }

    private void Call()
    {
        RunLogProvider.Enter(attempt.Log);
        try
        {
            _code = body(attempt);
        }
        catch (Exception error)
        {
            _code = Task.FromException<StepResult>(error);
        }

        if (_code.IsCompleted)
        {
            End();
        }
        else
        {
            _code.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(End);
        }
    }

    private void End()
    {
        _stop.Unregister();
        if (!_ended.TrySetResult(_code))
        {
            // Left behind; nobody looks at how it ended.
            _ = _code!.Exception;
        }
    }

    // Code that heeds its token ends soon after it fires; code that does not is left behind after the grace.
    private async Task LeaveAsync()
    {
        using var ended = new CancellationTokenSource();
        await Task.WhenAny(_ended.Task, Task.Delay(grace, time, ended.Token)).ConfigureAwait(false);
        await ended.CancelAsync().ConfigureAwait(false);
        _ended.TrySetResult(null);
    }
}
