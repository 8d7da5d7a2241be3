using Exporter.Exports.Destinations;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What a step's checkpoint keeps, in memory.</summary>
internal sealed class KeptProgress : ISliceProgress
{
    public string? Last { get; private set; }

    public IReadOnlyList<DeliveryOffset> Offsets { get; private set; } = [];

    public List<DeadLetter> DeadLetters { get; } = [];

    /// <summary>Whether somebody else holds the run: then nothing is kept any more.</summary>
    public bool IsLost { get; set; }

    /// <summary>What happens once something is kept, before who says it is told.</summary>
    public Func<Task>? Kept { get; set; }

    public Task CommitAsync(SliceDelivery delivery, CancellationToken cancellationToken)
    {
        if (IsLost)
        {
            throw new OperationCanceledException("Another worker holds the run.");
        }

        Last = delivery.Progress;
        Offsets = delivery.Offsets;
        DeadLetters.AddRange(delivery.DeadLetters);
        return Kept?.Invoke() ?? Task.CompletedTask;
    }
}
