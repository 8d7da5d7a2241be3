using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>Calls a run's code and writes what became of the run.</summary>
internal sealed class RunExecutor(
    WorkerServices services, IServiceScopeFactory scopes, IReadOnlyDictionary<(string Name, int Version), WorkflowRegistration> workflows)
{
    /// <summary>Ends when the run has left this worker. Never throws.</summary>
    /// <returns>False when that could not be written: the database may believe that this worker still holds the run.</returns>
    public async Task<bool> ExecuteAsync(RunExecution run)
    {
        try
        {
            EngineLog.RunClaimed(services.Logger, run.RunId, run.Claimed.Workflow, run.Epoch);
            services.Signals.Raise(WorkerMoment.Claimed, run.RunId);
            var scope = scopes.CreateAsyncScope();
            await using (scope.ConfigureAwait(false))
            {
                using var span = EngineTracing.Run(run.Claimed);
                var code = Task.Run(() =>
                {
                    RunLogProvider.Enter((level, message) => run.Log(level, null, message));
                    return workflows[(run.Claimed.Workflow, run.Claimed.Version)].CallAsync(
                        scope.ServiceProvider, new WorkflowContext(run, services), services.Codec, run.Claimed.Input);
                });
                if (await Task.WhenAny(code, run.Activity.Idle).ConfigureAwait(false) == code)
                {
                    await FinishAsync(run, code).ConfigureAwait(false);
                    EngineTracing.End(span, code.Exception?.InnerException is { } error ? ErrorText.Of(error) : null);
                }
                else
                {
                    // The code is left where it waits, and its memory with it; the run's records tell where to go on.
                    await LeaveAsync(run, await run.Activity.Idle.ConfigureAwait(false)).ConfigureAwait(false);
                }
            }

            return true;
        }
        catch (LeaseLostException)
        {
            EngineLog.RunDropped(services.Logger, run.RunId, run.Epoch);
            services.Metrics.RunLeft(run.Claimed.Workflow, "lost");
            return true;
        }
        catch (Exception error)
        {
            EngineLog.TriedAgain(services.Logger, $"Writing the end of run {run.RunId}", ErrorText.Of(error));
            return false;
        }
    }

    private async Task FinishAsync(RunExecution run, Task<byte[]> code)
    {
        byte[]? output = null;
        string? error = null;
        RunState state;
        try
        {
            output = await code.ConfigureAwait(false);
            state = RunState.Completed;
            if (output.Length > services.Options.LargestPayload)
            {
                state = RunState.Failed;
                error = $"The output of the run has {output.Length:N0} bytes as stored; WorkerOptions.LargestPayload allows {services.Options.LargestPayload:N0}.";
                output = null;
            }
        }
        catch (ContinueAsNewException again) when (!run.IsCancelled)
        {
            await services.Writer.WriteAsync(new Write(WriteKind.Continue, run.RunId, run.Epoch) { Payload = again.Input }).ConfigureAwait(false);
            services.Metrics.RunLeft(run.Claimed.Workflow, "continued");
            return;
        }
        catch (LeaseLostException)
        {
            throw;
        }
        catch (OperationCanceledException) when (run.IsDropped)
        {
            // Also of a run that is cancelled: its code may have been about to clean up.
            await LeaveAsync(run, null).ConfigureAwait(false);
            return;
        }
        catch (Exception exception) when (run.IsCancelled && exception is OperationCanceledException or ContinueAsNewException)
        {
            state = RunState.Cancelled;
            error = "Cancelled.";
        }
        catch (Exception exception)
        {
            state = RunState.Failed;
            error = ErrorText.Of(exception);
            EngineLog.RunFailed(services.Logger, run.RunId, error);
            if (await TriedAgainAsync(run, exception, error).ConfigureAwait(false))
            {
                return;
            }
        }

        services.Signals.Raise(WorkerMoment.CodeEnded, run.RunId);
        await services.Writer.WriteAsync(new Write(WriteKind.Finish, run.RunId, run.Epoch)
        {
            State = state.ToText(), Payload = output, Error = error, ClosesOpen = run.HadOpenSteps,
        }).ConfigureAwait(false);
        EngineLog.RunFinished(services.Logger, run.RunId, state.ToText());
        services.Metrics.RunLeft(run.Claimed.Workflow, state.ToText());
    }

    // The run's own policy, beside those of its steps.
    private async Task<bool> TriedAgainAsync(RunExecution run, Exception exception, string error)
    {
        var policy = run.Claimed.Retry is { } stored ? StoredRetry.Read(stored) : RetryPolicy.None;
        if (run.IsCancelled || !policy.Retries(run.Claimed.RunAttempt, exception))
        {
            return false;
        }

        var wait = policy.WaitAfter(run.Claimed.RunAttempt, Random.Shared.NextDouble());
        run.Log(LogLevel.Warning, null, $"Attempt {run.Claimed.RunAttempt} of the run failed; the next one begins in {wait}. {error}");
        await services.Writer.WriteAsync(new Write(WriteKind.Retry, run.RunId, run.Epoch) { Wait = wait }).ConfigureAwait(false);
        services.Metrics.RunLeft(run.Claimed.Workflow, "retried");
        return true;
    }

    private async Task LeaveAsync(RunExecution run, TimeSpan? wait)
    {
        if (run.IsGone)
        {
            throw new LeaseLostException($"Run {run.RunId} was taken away.");
        }

        await services.Writer.WriteAsync(new Write(WriteKind.Leave, run.RunId, run.Epoch) { Wait = wait, SeenEvents = run.SeenEvents })
            .ConfigureAwait(false);
        services.Metrics.RunLeft(run.Claimed.Workflow, wait is null ? "given_back" : "waiting");
    }
}
