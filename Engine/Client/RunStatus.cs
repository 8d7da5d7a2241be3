namespace Exporter.Engine.Client;

/// <summary>What <c>engine.runs</c> shows of a run.</summary>
public sealed record RunStatus
{
    /// <summary>The run's id.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The workflow's name.</summary>
    public required string Workflow { get; init; }

    /// <summary>The queue.</summary>
    public required string Queue { get; init; }

    /// <summary>The state.</summary>
    public required RunState State { get; init; }

    /// <summary>How often the run was claimed.</summary>
    public required long Epoch { get; init; }

    /// <summary>The latest error, in one line.</summary>
    public string? Error { get; init; }

    /// <summary>When it was started.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it is due, if it waits for a time.</summary>
    public DateTimeOffset? DueAt { get; init; }

    /// <summary>When it reached its final state.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether cancel was asked for.</summary>
    public bool CancelRequested { get; init; }

    /// <summary>What the run's code last said of itself with <c>SetStatusAsync</c>.</summary>
    public string? CustomStatus { get; init; }

    /// <summary>The version of the workflow's code that the run began with; null before its first claim.</summary>
    public int? Version { get; init; }

    /// <summary>How often the run as a whole was begun, from 1; more when <see cref="StartOptions.Retry"/> is set.</summary>
    public int RunAttempt { get; init; } = 1;

    /// <summary>The run that started this one as its child.</summary>
    public Guid? ParentRunId { get; init; }

    /// <summary>The words that it was started with.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();
}
