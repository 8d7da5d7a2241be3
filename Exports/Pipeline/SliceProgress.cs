using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Pipeline;

/// <summary>The progress of one attempt of a slice, or what it is about to commit, kept as its step's checkpoint: the engine keeps a former holder out.</summary>
internal sealed class SliceProgress(IStepContext step, DeliveryStore deliveries, Guid runId, int slice, string? last) : ISliceProgress
{
    public string? Last { get; private set; } = last;

    public async Task CommitAsync(SliceDelivery delivery, CancellationToken cancellationToken)
    {
        // Before it is known whether it succeeds: from now on a piece may have been delivered.
        Last = delivery.Progress;
        var outcome = new SliceOutcome(null, null, Progress: delivery.Progress);
        await (delivery is { Offsets: [], DeadLetters: [] }
            ? step.CommitAsync(outcome)
            : step.CommitAsync(outcome, (transaction, token) => deliveries.RecordAsync(transaction, runId, slice, delivery, token))).ConfigureAwait(false);
    }
}
