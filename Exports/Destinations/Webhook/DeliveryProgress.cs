namespace Exporter.Exports.Destinations.Webhook;

/// <summary>What the next attempt of a slice has to know, as it is kept.</summary>
internal sealed record DeliveryProgress
{
    /// <summary>The settings that rows were cut into messages by.</summary>
    public required string Layout { get; init; }

    /// <summary>Each receiver's, by its key.</summary>
    public required IReadOnlyDictionary<string, ReceiverProgress> Receivers { get; init; }
}

/// <summary>How far one receiver is.</summary>
internal sealed record ReceiverProgress
{
    /// <summary>Messages that it has, from the first one on without a gap.</summary>
    public required int Messages { get; init; }

    /// <summary>Their rows.</summary>
    public required long Rows { get; init; }

    /// <summary>A hash over the rows of them all, hexadecimal.</summary>
    public required string Chain { get; init; }

    /// <summary>Messages beyond them that were sent, or were about to be.</summary>
    public required IReadOnlyList<OpenMessage> Open { get; init; }
}

/// <summary>A message that was on its way.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="Content">SHA-256 of its rows, hexadecimal.</param>
/// <param name="Done">Whether the receiver has it; otherwise nobody knows.</param>
internal sealed record OpenMessage(int Number, int Rows, string Content, bool Done);
