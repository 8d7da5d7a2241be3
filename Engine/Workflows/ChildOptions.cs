namespace Exporter.Engine.Workflows;

/// <summary>What becomes of a child that is not final when its parent is.</summary>
public enum ParentClosePolicy
{
    /// <summary>It is asked to end.</summary>
    Cancel,

    /// <summary>It is ended at once.</summary>
    Terminate,

    /// <summary>It goes on by itself.</summary>
    Abandon,
}

/// <summary>How a run starts a child.</summary>
public sealed record ChildOptions
{
    /// <summary>The queue. Default the parent's.</summary>
    public string? Queue { get; init; }

    /// <summary>Lower goes first. Default 0.</summary>
    public short Priority { get; init; }

    /// <summary>As <see cref="Client.StartOptions.ConcurrencyKey"/>, in the child's queue. Default none; from 1 to 200 characters.</summary>
    public string? ConcurrencyKey { get; init; }

    /// <summary>As <see cref="Client.StartOptions.ConcurrencyLimit"/>. Default 1; from 1 to 10,000.</summary>
    public int ConcurrencyLimit { get; init; } = 1;

    /// <summary>What becomes of it when the parent is final first. Default it is asked to end.</summary>
    public ParentClosePolicy OnParentClose { get; init; }

    /// <summary>As <see cref="Client.StartOptions.ExecutionTimeout"/>. Default none.</summary>
    public TimeSpan? ExecutionTimeout { get; init; }

    /// <summary>As <see cref="Client.StartOptions.Retry"/>. Default never.</summary>
    public RetryPolicy? Retry { get; init; }

    /// <summary>Words to find the child by. Default none.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();
}
