namespace Exporter.Engine.Scheduling;

/// <summary>Why an occurrence came.</summary>
public enum OccurrenceCause
{
    /// <summary>The schedule's rule.</summary>
    Schedule,

    /// <summary>Somebody triggered it.</summary>
    Trigger,

    /// <summary>A backfill of a range.</summary>
    Backfill,
}

/// <summary>What became of an occurrence.</summary>
public enum OccurrenceOutcome
{
    /// <summary>Its run was started.</summary>
    Started,

    /// <summary>It has no run; the reason says why.</summary>
    Skipped,

    /// <summary>It waits for a run of the schedule to end; then it becomes one of the others.</summary>
    Buffered,
}

/// <summary>An occurrence of a schedule and what became of it.</summary>
public sealed record ScheduleOccurrence
{
    /// <summary>When; its run sees it as <c>ScheduledFor</c>.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>Why it came.</summary>
    public required OccurrenceCause Cause { get; init; }

    /// <summary>The request of a trigger or a backfill; null for one of the rule.</summary>
    public Guid? RequestId { get; init; }

    /// <summary>What became of it.</summary>
    public required OccurrenceOutcome Outcome { get; init; }

    /// <summary>The run, when it was started.</summary>
    public Guid? RunId { get; init; }

    /// <summary>Why it was skipped, when it was.</summary>
    public string? Reason { get; init; }
}

/// <summary>Names an occurrence: those of the rule have the empty request.</summary>
internal readonly record struct OccurrenceKey(DateTimeOffset Time, OccurrenceCause Cause, Guid RequestId);
