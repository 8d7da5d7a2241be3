using Exporter.Engine.Observability;
using Exporter.Engine.Workflows;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>Sees runs that fail for good, so that an export that fails again and again pauses itself instead of going on to ask a destination that refuses it.</summary>
internal sealed class FailureWatch(FailureStore failures, ExportPauser pauser)
{
    /// <summary>Calls a run's code. What fails it stays what fails it, whatever becomes of the record.</summary>
    public async Task<T> WatchAsync<T>(IWorkflowContext run, RunOrder order, Func<Task<T>> body)
    {
        try
        {
            return await body().ConfigureAwait(false);
        }
        catch (StepFailedException failure)
        {
            // Not a step: a retry of the run would find its record where the step that failed has to be. Whoever resumes here comes by again.
            await RecordAsync(run, order, failure).ConfigureAwait(false);
            throw;
        }
    }

    private async Task RecordAsync(IWorkflowContext run, RunOrder order, StepFailedException failure)
    {
        var export = order.Export;
        var inARow = export.Settings.FailuresToPause(order.Interval);
        var error = ErrorText.Scrub(failure.Error);
        try
        {
            if (await failures.RecordAsync(run.RunId, order, error, inARow, run.CancellationToken).ConfigureAwait(false))
            {
                run.Log(LogLevel.Warning, $"{export.Name} is paused: its latest {inARow} intervals have failed.");
                await pauser.PauseAsync(export.Id, $"paused after {inARow} failures in a row: {error}").ConfigureAwait(false);
            }
        }
        catch (Exception broken) when (broken is not OperationCanceledException)
        {
            run.Log(LogLevel.Warning, $"The failure could not be recorded: {broken.Message}");
        }
    }
}
