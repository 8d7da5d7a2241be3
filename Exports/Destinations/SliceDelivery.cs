namespace Exporter.Exports.Destinations;

/// <summary>
/// Where a destination that delivers a slice in pieces says how far it is, and one that commits it as a whole, but cannot say later whose
/// commit it was, what it is about to commit. What it said last is there for the next attempt, in whatever process.
/// </summary>
public interface ISliceProgress
{
    /// <summary>What <see cref="SliceDelivery.Progress"/> was in the last commit of any attempt; null when there was none.</summary>
    string? Last { get; }

    /// <summary>Commits how far the slice is; durable when it returns. One call at a time.</summary>
    /// <exception cref="OperationCanceledException">Another worker holds the run now; nothing was written.</exception>
    Task CommitAsync(SliceDelivery delivery, CancellationToken cancellationToken);
}

/// <summary>How far a slice is delivered.</summary>
public sealed record SliceDelivery
{
    /// <summary>What the destination wants to know in the next attempt; for itself alone.</summary>
    public required string Progress { get; init; }

    /// <summary>How far each receiver is, for <c>exports.deliveries</c>.</summary>
    public IReadOnlyList<DeliveryOffset> Offsets { get; init; } = [];

    /// <summary>Messages that a receiver refused since the last commit; kept in the same transaction.</summary>
    public IReadOnlyList<DeadLetter> DeadLetters { get; init; } = [];
}

/// <summary>How far one receiver is with a slice.</summary>
/// <param name="Receiver">The receiver, without secrets.</param>
/// <param name="Messages">Messages that it has acknowledged, from the first one on without a gap.</param>
/// <param name="Rows">Their rows.</param>
public sealed record DeliveryOffset(string Receiver, long Messages, long Rows);

/// <summary>A message that a receiver refused for good, kept so that it can be looked at and sent again.</summary>
public sealed record DeadLetter
{
    /// <summary>The message's id, the same in every try.</summary>
    public required string MessageId { get; init; }

    /// <summary>The receiver, without secrets.</summary>
    public required string Receiver { get; init; }

    /// <summary>Which of the destination's receivers it is, whatever their order.</summary>
    public required string ReceiverKey { get; init; }

    /// <summary>Its number in the slice, from 0.</summary>
    public required int Number { get; init; }

    /// <summary>Rows in it.</summary>
    public required int Rows { get; init; }

    /// <summary>The HTTP status of the answer.</summary>
    public required int Status { get; init; }

    /// <summary>Why, in one line: the answer's status and the beginning of its text.</summary>
    public required string Reason { get; init; }

    /// <summary>The body before compression; encrypted where it is kept.</summary>
    public required ReadOnlyMemory<byte> Body { get; init; }
}
