using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Workers;

/// <summary>Calls a run's code and writes what became of the run.</summary>
internal sealed class RunExecutor(
    WorkerServices services, IServiceScopeFactory scopes, IReadOnlyDictionary<string, WorkflowRegistration> workflows)
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
                var code = Task.Run(() => workflows[run.Claimed.Workflow].CallAsync(
                    scope.ServiceProvider, run, services.Codec, run.Claimed.Input));
                if (await Task.WhenAny(code, run.Activity.Idle).ConfigureAwait(false) == code)
                {
                    await FinishAsync(run, code).ConfigureAwait(false);
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
        }
        catch (LeaseLostException)
        {
            throw;
        }
        catch (OperationCanceledException) when (run.IsCancelled)
        {
            state = RunState.Cancelled;
            error = "Cancelled.";
        }
        catch (OperationCanceledException) when (run.CancellationToken.IsCancellationRequested)
        {
            await LeaveAsync(run, null).ConfigureAwait(false);
            return;
        }
        catch (Exception exception)
        {
            state = RunState.Failed;
            error = ErrorText.Of(exception);
            EngineLog.RunFailed(services.Logger, run.RunId, error);
        }

        services.Signals.Raise(WorkerMoment.CodeEnded, run.RunId);
        await services.Writer.WriteAsync(new Write(WriteKind.Finish, run.RunId, run.Epoch)
        {
            State = state.ToText(), Payload = output, Error = error, ClosesOpen = run.HadOpenSteps,
        }).ConfigureAwait(false);
        EngineLog.RunFinished(services.Logger, run.RunId, state.ToText());
        services.Metrics.RunLeft(run.Claimed.Workflow, state.ToText());
    }

    private async Task LeaveAsync(RunExecution run, TimeSpan? wait)
    {
        await services.Writer.WriteAsync(new Write(WriteKind.Leave, run.RunId, run.Epoch) { Wait = wait }).ConfigureAwait(false);
        services.Metrics.RunLeft(run.Claimed.Workflow, wait is null ? "given_back" : "waiting");
    }
}
