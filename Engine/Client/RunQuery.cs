namespace Exporter.Engine.Client;

/// <summary>Which runs are listed; what is null does not count. The newest come first.</summary>
public sealed record RunQuery
{
    /// <summary>Only runs of this workflow.</summary>
    public string? Workflow { get; init; }

    /// <summary>Only runs in this state.</summary>
    public RunState? State { get; init; }

    /// <summary>Only runs of this queue.</summary>
    public string? Queue { get; init; }

    /// <summary>Only runs that were started at this time or later.</summary>
    public DateTimeOffset? CreatedFrom { get; init; }

    /// <summary>Only runs that were started before this time; for the next page, the time of the last run of this one.</summary>
    public DateTimeOffset? CreatedBefore { get; init; }

    /// <summary>Only children of this run.</summary>
    public Guid? ParentRunId { get; init; }

    /// <summary>Only runs with all of these tags.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>At most so many. Default 100; from 1 to 10,000.</summary>
    public int Limit { get; init; } = 100;
}
