using System.Globalization;
using Exporter.Engine.Workflows;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// The whole story of a batch export run. What it is to do and how it is cut is recorded before anything moves; each slice is
/// a step that is committed once; what changed meanwhile is exported again; the end makes the run visible.
/// </summary>
internal sealed class ExportWorkflow(
    RunStore runs, RunPlanner planner, PlanningProgress progress, SliceRounds rounds, VerificationStore verifications, DayBudget budget,
    FailureStore failures, FailureWatch watch)
    : IWorkflow<ExportInput, ExportOutput>
{
    public async Task<ExportOutput> RunAsync(IWorkflowContext run, ExportInput input)
    {
        var order = await run.StepInTransactionAsync("begin", (step, transaction) => ErrorClassifier.SortedAsync(
            () => runs.BeginAsync(transaction, run.RunId, input, run.ScheduledFor, step.CancellationToken))).ConfigureAwait(false);
        return await watch.WatchAsync(run, order, () => ExportAsync(run, order)).ConfigureAwait(false);
    }

    private async Task<ExportOutput> ExportAsync(IWorkflowContext run, RunOrder order)
    {
        var plan = await run.StepAsync("plan", step => ErrorClassifier.SortedAsync(
            () => PlanAsync(step, order)), SliceRounds.OptionsFor(order.Interval)).ConfigureAwait(false);
        await run.StepInTransactionAsync("record plan", (step, transaction) => ErrorClassifier.SortedAsync(async () =>
        {
            await budget.CheckAsync(
                transaction, run.RunId, order.Export, plan.Slices.Sum(slice => slice.ExpectedRows), plan.ExpectedBytes, step.CancellationToken).ConfigureAwait(false);
            await runs.PlanAsync(transaction, run.RunId, plan.Slices, plan.ExpectedBytes, step.CancellationToken).ConfigureAwait(false);
            await runs.RecordOrderAsync(transaction, run.RunId, new RecordedOrder(order.Export, plan.Columns), step.CancellationToken).ConfigureAwait(false);
            return plan.Slices.Count;
        })).ConfigureAwait(false);
        run.Log(LogLevel.Information, string.Create(
            CultureInfo.InvariantCulture, $"{order.Interval}: {plan.Slices.Sum(slice => slice.ExpectedRows)} rows in {plan.Slices.Count} slices."));

        var work = new RunWork(run.RunId, order, plan.Columns, plan.Slices.Count, plan.RowOrder);
        var exported = await rounds.ExportAsync(run, work, plan.Slices).ConfigureAwait(false);
        exported = await rounds.SettleAsync(run, work, exported).ConfigureAwait(false);
        await rounds.FinishAsync(run, work, exported).ConfigureAwait(false);

        return await run.StepInTransactionAsync("complete", (step, transaction) => ErrorClassifier.SortedAsync(async () =>
        {
            var output = Output(plan, exported);
            await runs.FinishAsync(transaction, run.RunId, order.Export.Id, output.LateRows, step.CancellationToken).ConfigureAwait(false);
            await failures.MendAsync(transaction, run.RunId, order, step.CancellationToken).ConfigureAwait(false);
            await verifications.StartLaterAsync(transaction, run.RunId, order.Export, step.CancellationToken).ConfigureAwait(false);
            return output;
        })).ConfigureAwait(false);
    }

    private async Task<ExportPlan> PlanAsync(IStepContext step, RunOrder order)
    {
        var destination = await rounds.OpenAsync(step, order).ConfigureAwait(false);
        var writtenRowBytes = order.Export.Settings.MaxFileBytes is null
            ? null
            : await runs.WrittenRowBytesAsync(order.Export, step.CancellationToken).ConfigureAwait(false);
        var plan = await progress.WhileAsync(
            step, order.Export.Name, () => planner.PlanAsync(order.Export, order.Interval, writtenRowBytes, step.CancellationToken)).ConfigureAwait(false);
        return plan with { RowOrder = destination.Order };
    }

    // Late are rows more than planned; a slice of the plan and what it was split into count as one.
    private static ExportOutput Output(ExportPlan plan, IReadOnlyList<ExportedSlice> exported) => new(
        exported.Sum(one => one.Receipt.Rows),
        exported.Sum(one => one.Receipt.Bytes),
        exported.Count,
        exported.GroupBy(one => SlicePlanner.Root(one.Slice.Number, plan.Slices.Count))
            .Sum(root => Math.Max(0, root.Sum(one => one.Rows) - plan.Slices[root.Key].ExpectedRows)),
        exported.Sum(one => one.Receipt.QuarantinedRows),
        exported.Sum(one => one.Receipt.NulledValues));
}
