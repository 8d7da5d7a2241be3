using System.Globalization;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>The end of a run: its counts are compared with the plan, then the destination makes it visible as a whole.</summary>
internal sealed class RunFinisher(RunPlanner planner)
{
    /// <summary>Compares, and finishes at the destination.</summary>
    /// <returns>How many rows more were exported than planned, since they came in between.</returns>
    /// <exception cref="NonRetryableException">The source has other rows now than were exported.</exception>
    public async Task<long> FinishAsync(
        IStepContext step, RunOrder order, ExportPlan plan, IReadOnlyList<SliceReceipt> receipts, IDestination destination)
    {
        var late = 0L;
        foreach (var (slice, receipt) in plan.Slices.Zip(receipts))
        {
            if (receipt.Slice != slice.Number)
            {
                throw new InvalidDataException($"The receipt of slice {receipt.Slice} stands in the place of slice {slice.Number}.");
            }

            if (receipt.Rows == slice.ExpectedRows)
            {
                continue;
            }

            var now = await Heartbeats.WhileAsync(step, planner.RecountAsync(order.Export, slice, step.CancellationToken)).ConfigureAwait(false);
            if (now != receipt.Rows)
            {
                throw new NonRetryableException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"Slice {slice.Number} was planned with {slice.ExpectedRows} rows, exported with {receipt.Rows}, and the source has {now} now: rows of the interval are still changing. Setting: settle_delay. Make it longer, and export the interval again."));
            }

            late += receipt.Rows - slice.ExpectedRows;
            step.Log(LogLevel.Warning, string.Create(
                CultureInfo.InvariantCulture, $"Slice {slice.Number} has {receipt.Rows} rows; it was planned with {slice.ExpectedRows}. The source agrees now."));
        }

        await destination.FinishAsync(
            new RunManifest { Export = order.Export.Name, Interval = order.Interval, RunId = step.RunId, Slices = receipts },
            step.CancellationToken).ConfigureAwait(false);
        return Math.Max(0, late);
    }
}
