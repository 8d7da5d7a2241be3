namespace Exporter.Engine.Scheduling;

/// <summary>A schedule as it stands.</summary>
public sealed record ScheduleInfo
{
    /// <summary>The schedule, as it was put last.</summary>
    public required Schedule Schedule { get; init; }

    /// <summary>Whether it is paused.</summary>
    public required bool Paused { get; init; }

    /// <summary>Why it was paused, or unpaused last.</summary>
    public string? Note { get; init; }

    /// <summary>Whether it paused itself because its rule or its input cannot be used; the note says why.</summary>
    public required bool Blocked { get; init; }

    /// <summary>Every occurrence of the rule up to here has its outcome.</summary>
    public required DateTimeOffset SettledTo { get; init; }

    /// <summary>The first occurrence that has none yet; null when there is none any more.</summary>
    public DateTimeOffset? NextOccurrence { get; init; }

    /// <summary>When that one is due, after delay and jitter.</summary>
    public DateTimeOffset? NextAt { get; init; }

    /// <summary>How many occurrences wait for a run to end.</summary>
    public required int Buffered { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was put, paused or unpaused last.</summary>
    public required DateTimeOffset UpdatedAt { get; init; }
}

/// <summary>A schedule as it stands, what comes next and what came last.</summary>
public sealed record ScheduleDescription
{
    /// <summary>The schedule.</summary>
    public required ScheduleInfo Info { get; init; }

    /// <summary>The next occurrences of the rule, in order, as if it were not paused.</summary>
    public required IReadOnlyList<DateTimeOffset> Next { get; init; }

    /// <summary>The last occurrences and what became of them, the newest first.</summary>
    public required IReadOnlyList<ScheduleOccurrence> Recent { get; init; }

    /// <summary>Its runs that are not final.</summary>
    public required IReadOnlyList<Guid> Running { get; init; }
}
