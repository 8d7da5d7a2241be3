using System.Globalization;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// The whole story of a batch export run. What it is to do and how it is cut is recorded before anything moves; each slice is
/// a step that is committed once; the end compares the counts and makes the run visible.
/// </summary>
internal sealed class ExportWorkflow(
    RunStore runs, RunPlanner planner, SliceExporter exporter, RunFinisher finisher, DestinationOfRun destinations,
    ExportPauser pauser)
    : IWorkflow<ExportInput, ExportOutput>
{
    private static readonly RetryPolicy ForEver = new() { MaximumInterval = TimeSpan.FromMinutes(10) };

    public async Task<ExportOutput> RunAsync(IWorkflowContext run, ExportInput input)
    {
        var order = await run.StepInTransactionAsync("begin", (step, transaction) => ErrorClassifier.SortedAsync(
            () => runs.BeginAsync(transaction, run.RunId, input, run.ScheduledFor, step.CancellationToken))).ConfigureAwait(false);
        var options = OptionsFor(order.Interval);

        var plan = await run.StepAsync("plan", async step =>
        {
            var destination = await OpenAsync(step, order).ConfigureAwait(false);
            var planned = await ErrorClassifier.SortedAsync(
                () => Heartbeats.WhileAsync(step, planner.PlanAsync(order.Export, order.Interval, step.CancellationToken))).ConfigureAwait(false);
            return planned with { Order = destination.Order };
        }, options).ConfigureAwait(false);
        await run.StepInTransactionAsync("record plan", async (step, transaction) =>
        {
            await runs.PlanAsync(transaction, run.RunId, plan.Slices, step.CancellationToken).ConfigureAwait(false);
            return plan.Slices.Count;
        }).ConfigureAwait(false);
        run.Log(LogLevel.Information, string.Create(
            CultureInfo.InvariantCulture, $"{order.Interval}: {plan.Slices.Sum(slice => slice.ExpectedRows)} rows in {plan.Slices.Count} slices."));

        var parallel = plan.Order == RowOrder.InRun ? 1 : order.Export.Settings.ParallelSlices;
        var receipts = await run.StepsAsync("slice", plan.Slices, parallel, async (step, slice) =>
        {
            var destination = await OpenAsync(step, order).ConfigureAwait(false);
            return await ErrorClassifier.SortedAsync(
                () => pauser.PausingAsync(order.Export, destination, () => exporter.ExportAsync(step, order, plan, slice, destination)), destination).ConfigureAwait(false);
        }, options).ConfigureAwait(false);

        var late = await run.StepAsync("finish", async step =>
        {
            var destination = await OpenAsync(step, order).ConfigureAwait(false);
            return await ErrorClassifier.SortedAsync(
                () => finisher.FinishAsync(step, order, plan, receipts, destination), destination).ConfigureAwait(false);
        }, options).ConfigureAwait(false);

        return await run.StepInTransactionAsync("complete", (step, transaction) => ErrorClassifier.SortedAsync(async () =>
        {
            await runs.FinishAsync(transaction, run.RunId, order.Export.Id, late, step.CancellationToken).ConfigureAwait(false);
            return new ExportOutput(receipts.Sum(receipt => receipt.Rows), receipts.Sum(receipt => receipt.Bytes), receipts.Count, late);
        })).ConfigureAwait(false);
    }

    private Task<IDestination> OpenAsync(IStepContext step, RunOrder order) =>
        ErrorClassifier.SortedAsync(() => destinations.OpenAsync(order.Export, step.CancellationToken));

    // Attempts may take as long as years of production have shown that they do; signs of life come with every batch.
    private static StepOptions OptionsFor(DataInterval interval) => new()
    {
        HeartbeatTimeout = TimeSpan.FromMinutes(5),
        Retry = ForEver,
        StartToClose = (interval.End - interval.Start) switch
        {
            var length when length > TimeSpan.FromDays(1) => TimeSpan.FromDays(3),
            var length when length > TimeSpan.FromHours(1) => TimeSpan.FromDays(1),
            _ => TimeSpan.FromHours(6),
        },
    };
}
