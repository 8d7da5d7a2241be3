namespace Exporter.Engine.Tests.Chaos;

/// <summary>What becomes of the message that springs a trap.</summary>
internal enum FaultMoment
{
    /// <summary>It never reaches the server; the connection is cut.</summary>
    NeverArrives,

    /// <summary>It reaches the server, which answers; the answer is swallowed and the connection cut.</summary>
    AnswerLost,

    /// <summary>The client's connection is cut at once; the server gets the message when the trap is released.</summary>
    ArrivesLate,
}

/// <summary>
/// Waits for a connection over which all of some texts have passed, in their order; the message with the last one springs it.
/// Until it is released that connection stands still.
/// </summary>
internal sealed class FaultTrap(FaultMoment moment, params string[] texts)
{
    private readonly TaskCompletionSource _sprung = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<bool> _delivered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public FaultMoment Moment => moment;

    public Task Sprung => _sprung.Task;

    /// <summary>Ends when a late message has got to the server and was answered; false when the server had hung up.</summary>
    public Task<bool> Delivered => _delivered.Task;

    internal Task Released => _released.Task;

    public void Release() => _released.TrySetResult();

    internal void Spring() => _sprung.TrySetResult();

    internal void Deliver(bool answered) => _delivered.TrySetResult(answered);

    // A message is far smaller than what is read at once, and the client sends each in one piece.
    internal bool Steps(TrapProgress seen, string message)
    {
        if (seen.Of != this)
        {
            (seen.Of, seen.Steps) = (this, 0);
        }

        for (var from = 0; seen.Steps < texts.Length && message.IndexOf(texts[seen.Steps], from, StringComparison.Ordinal) is >= 0 and var at;)
        {
            from = at + texts[seen.Steps++].Length;
        }

        return seen.Steps == texts.Length;
    }
}
