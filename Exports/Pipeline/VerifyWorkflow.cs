using System.Globalization;
using Exporter.Engine.Workflows;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// A later look at a finished run: its slices are counted at the source again, and those exported again, under the same keys, whose
/// rows or keys are others now; or those with rows that were put aside. Then the manifest is written again.
/// </summary>
internal sealed class VerifyWorkflow(VerificationStore verifications, ClickHouseSource source, SliceRounds rounds)
    : IWorkflow<VerificationInput, VerificationOutput>
{
    public async Task<VerificationOutput> RunAsync(IWorkflowContext run, VerificationInput input)
    {
        var order = await run.StepInTransactionAsync("begin", (step, transaction) => ErrorClassifier.SortedAsync(
            () => verifications.BeginAsync(transaction, run.RunId, input, step.CancellationToken))).ConfigureAwait(false);
        if (order is null)
        {
            run.Log(LogLevel.Information, $"The interval of run {input.RunId} is another run's by now.");
            return await CompleteAsync(run, input, new VerificationOutput(VerificationOutcome.Superseded, 0, 0, 0, 0)).ConfigureAwait(false);
        }

        var columns = input.Kind != VerificationKind.Resend ? order.Columns : await run.StepAsync("describe", step => ErrorClassifier.SortedAsync(
            () => source.DescribeAsync(order.Order.Export.Model, step.CancellationToken)), SliceRounds.OptionsFor(order.Order.Interval)).ConfigureAwait(false);
        var rowOrder = await run.StepAsync(
            "destination", async step => (await rounds.OpenAsync(step, order.Order).ConfigureAwait(false)).Order).ConfigureAwait(false);
        var work = new RunWork(input.RunId, order.Order, columns, order.Planned, rowOrder);
        var there = await run.StepAsync(
            "load", step => verifications.LeavesAsync<ExportedSlice>(input.RunId, step.CancellationToken)).ConfigureAwait(false);
        return await CompleteAsync(run, input, await LookAsync(run, input.Kind, work, there).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private async Task<VerificationOutput> LookAsync(
        IWorkflowContext run, VerificationKind kind, RunWork work, IReadOnlyList<ExportedSlice> there)
    {
        var counted = kind == VerificationKind.Resend ? there : await rounds.CompareAsync(run, work, there).ConfigureAwait(false);
        var differing = counted.Where(one => !one.Agrees).ToList();
        var found = new VerificationOutput(
            VerificationOutcome.Unchanged,
            kind == VerificationKind.Resend ? 0 : counted.Count,
            differing.Count,
            differing.Sum(one => Math.Max(0, one.Slice.ExpectedRows - one.Rows)),
            differing.Sum(one => Math.Max(0, one.Rows - one.Slice.ExpectedRows)));
        if (kind == VerificationKind.Compare || work.InPieces)
        {
            // What was delivered in pieces cannot be replaced; sent again, its rows would be there twice.
            return found with { Outcome = differing.Count == 0 ? VerificationOutcome.Unchanged : VerificationOutcome.Changed };
        }

        var again = kind == VerificationKind.Resend ? counted.Where(one => one.Receipt.QuarantinedRows > 0).ToList() : differing;
        run.Log(LogLevel.Information, string.Create(
            CultureInfo.InvariantCulture,
            $"{counted.Count} slices; {again.Count} are exported again; {found.LateRows} rows came late, {found.GoneRows} are gone."));
        var exported = await rounds.ExportAsync(run, work, [.. again.Select(one => one.Slice)]).ConfigureAwait(false);
        var all = await rounds.SettleAsync(run, work, [.. counted.Except(again), .. exported]).ConfigureAwait(false);

        // Also when nothing changed: it looks whether every file is still there, and an earlier look may have died on its way.
        await rounds.FinishAsync(run, work, all).ConfigureAwait(false);
        return found with { Outcome = again.Count == 0 ? VerificationOutcome.Unchanged : VerificationOutcome.ExportedAgain };
    }

    private Task<VerificationOutput> CompleteAsync(IWorkflowContext run, VerificationInput input, VerificationOutput output) =>
        run.StepInTransactionAsync("complete", (step, transaction) => ErrorClassifier.SortedAsync(async () =>
        {
            await verifications.FinishAsync(transaction, run.RunId, input.RunId, output, step.CancellationToken).ConfigureAwait(false);
            return output;
        }));
}
