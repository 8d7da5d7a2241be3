using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// A backfill: one run per interval, in order, so many at once as it says. Each is started once, whoever asks how often. It fails
/// at the first run that does not complete; runs in progress beside that one go on.
/// </summary>
internal sealed class BackfillWorkflow(
    BackfillStore backfills, BatchExportStore exports, RunControl control, RunStore runs, EngineClient engine, TimeProvider time)
    : IWorkflow<BackfillInput, BackfillResult>
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(500);

    private static readonly StepOptions Patient = new()
    {
        HeartbeatTimeout = TimeSpan.FromMinutes(2),
        Retry = RetryPolicy.Default with { NonRetryable = [typeof(UserErrorException)] },
    };

    public async Task<BackfillResult> RunAsync(IWorkflowContext run, BackfillInput input)
    {
        try
        {
            var plan = await run.StepAsync("plan", step => PlanAsync(input, step.CancellationToken), Patient).ConfigureAwait(false);
            var exported = await run.StepsAsync(
                "interval", plan.Intervals, plan.Parallel, (step, interval) => ExportAsync(step, input, interval), Patient).ConfigureAwait(false);
            return new BackfillResult(exported.Count(did => did), exported.Count(did => !did));
        }
        catch (OperationCanceledException)
        {
            // Not when the lease was lost or the worker shuts down: then the backfill goes on elsewhere, and so do its runs.
            if (await engine.GetAsync(run.RunId, CancellationToken.None).ConfigureAwait(false) is { CancelRequested: true })
            {
                await backfills.CancelRunsAsync(input.BackfillId, CancellationToken.None).ConfigureAwait(false);
            }

            throw;
        }
    }

    private async Task<BackfillPlan> PlanAsync(BackfillInput input, CancellationToken cancellationToken)
    {
        var backfill = await backfills.GetAsync(input.BackfillId, cancellationToken).ConfigureAwait(false);
        var export = await exports.GetAsync(backfill.BatchExportId, cancellationToken).ConfigureAwait(false);
        var intervals = backfill.ToBackfill().Intervals(export.Schedule, await runs.ClockAsync(cancellationToken).ConfigureAwait(false));
        return new BackfillPlan(intervals, backfill.Parallel);
    }

    /// <summary>False: the interval was covered and is left out.</summary>
    private async Task<bool> ExportAsync(IStepContext step, BackfillInput input, DataInterval interval)
    {
        var cancellationToken = step.CancellationToken;
        var backfill = await backfills.GetAsync(input.BackfillId, cancellationToken).ConfigureAwait(false);
        BackfillStart? started;
        while ((started = await control.StartForBackfillAsync(backfill, interval, cancellationToken).ConfigureAwait(false)) is null)
        {
            await WaitAsync(step, cancellationToken).ConfigureAwait(false);
        }

        if (started.RunId is not { } runId)
        {
            step.Log(LogLevel.Information, $"{interval} is covered and left out.");
            return false;
        }

        step.Log(LogLevel.Information, $"{interval} is exported by run {runId}.");
        while (true)
        {
            var status = await engine.GetAsync(runId, cancellationToken).ConfigureAwait(false);
            if (status is null || status.State.IsFinal())
            {
                return status is { State: RunState.Completed } ? true : throw new NonRetryableException(
                    $"Run {runId} of {interval} is {status?.State.ToText() ?? "gone"}{(status?.Error is { } error ? $": {error}" : ".")}");
            }

            await WaitAsync(step, cancellationToken).ConfigureAwait(false);
        }
    }

    private Task WaitAsync(IStepContext step, CancellationToken cancellationToken)
    {
        step.Heartbeat();
        return Task.Delay(Poll, time, cancellationToken);
    }
}

/// <summary>What a backfill is to do, fixed when it begins.</summary>
internal sealed record BackfillPlan(IReadOnlyList<DataInterval> Intervals, int Parallel);

/// <summary>What a backfill did.</summary>
/// <param name="Exported">Intervals that were exported.</param>
/// <param name="LeftOut">Intervals that were covered before.</param>
public sealed record BackfillResult(int Exported, int LeftOut);
