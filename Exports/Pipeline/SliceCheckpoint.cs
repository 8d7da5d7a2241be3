using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Pipeline;

/// <summary>What a slice's step has committed: how far a delivery in pieces is, and at the end the receipt.</summary>
internal sealed record SliceCheckpoint
{
    /// <summary>The slice is in the destination.</summary>
    public SliceReceipt? Receipt { get; init; }

    /// <summary>What the destination said last of how far it is.</summary>
    public string? Progress { get; init; }
}

/// <summary>The progress of one attempt of a slice, kept as its step's checkpoint: the engine keeps a former holder out.</summary>
internal sealed class SliceProgress(IStepContext step, DeliveryStore deliveries, int slice, string? last) : ISliceProgress
{
    public string? Last => last;

    public Task CommitAsync(SliceDelivery delivery, CancellationToken cancellationToken) => step.CommitAsync(
        new SliceCheckpoint { Progress = delivery.Progress },
        (transaction, token) => deliveries.RecordAsync(transaction, step.RunId, slice, delivery, token));
}
