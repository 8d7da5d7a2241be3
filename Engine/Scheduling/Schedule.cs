namespace Exporter.Engine.Scheduling;

/// <summary>Starts a run of a workflow at each of its occurrences.</summary>
public sealed record Schedule
{
    /// <summary>Its id; from 1 to 200 characters.</summary>
    public required string Id { get; init; }

    /// <summary>When it occurs.</summary>
    public required ScheduleSpec Spec { get; init; }

    /// <summary>The workflow to start.</summary>
    public required string Workflow { get; init; }

    /// <summary>The queue that its runs wait in. Default "default".</summary>
    public string Queue { get; init; } = "default";

    /// <summary>The priority of its runs; lower goes first. Default 0.</summary>
    public short Priority { get; init; }

    /// <summary>An occurrence that could not be fired for longer than this is skipped, and recorded so. Default 1 day; from 0.</summary>
    public TimeSpan CatchUpWindow { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Words to find its runs by.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentException">A value is out of the range that its property states.</exception>
    public Schedule Validate()
    {
        if (Id.Length is 0 or > 200)
        {
            throw new ArgumentException("Id must have 1 to 200 characters.", nameof(Id));
        }

        ArgumentException.ThrowIfNullOrWhiteSpace(Workflow, nameof(Workflow));
        ArgumentException.ThrowIfNullOrWhiteSpace(Queue, nameof(Queue));
        ArgumentOutOfRangeException.ThrowIfLessThan(CatchUpWindow, TimeSpan.Zero, nameof(CatchUpWindow));
        Spec.Validate();
        return this;
    }
}

/// <summary>A rule for instants: a cron expression in a time zone, or a fixed interval since 1970 UTC.</summary>
public sealed record ScheduleSpec
{
    /// <summary>Five fields, or six with seconds first. Either this or <see cref="Every"/>.</summary>
    public string? Cron { get; init; }

    /// <summary>The zone of <see cref="Cron"/>, as in the IANA database. Default UTC.</summary>
    public string TimeZone { get; init; } = "UTC";

    /// <summary>A fixed interval; at least 1 s.</summary>
    public TimeSpan? Every { get; init; }

    /// <summary>Moves the interval's instants from multiples since 1970. Default 0; at least 0 and less than <see cref="Every"/>.</summary>
    public TimeSpan Offset { get; init; }

    /// <summary>How long after an occurrence its run starts. Default 0; from 0.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>The start is later by a part of this that differs by schedule and occurrence. Default 0; from 0.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Throws when the rule is not valid, saying why.</summary>
    /// <exception cref="ArgumentException">The rule is not valid.</exception>
    public ScheduleSpec Validate()
    {
        if ((Cron is null) == (Every is null))
        {
            throw new ArgumentException("Give either Cron or Every.", nameof(Cron));
        }

        if (Every is { } every && every < TimeSpan.FromSeconds(1))
        {
            throw new ArgumentException($"Every must be at least 1 s; it is {every}.", nameof(Every));
        }

        if (Offset < TimeSpan.Zero || (Every is { } cycle && Offset >= cycle) || (Every is null && Offset != TimeSpan.Zero))
        {
            throw new ArgumentException($"Offset must be at least 0 and less than Every; it is {Offset}.", nameof(Offset));
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(Delay, TimeSpan.Zero, nameof(Delay));
        ArgumentOutOfRangeException.ThrowIfLessThan(Jitter, TimeSpan.Zero, nameof(Jitter));
        if (Cron is not null)
        {
            Occurrences.Zone(TimeZone);
            Occurrences.Parse(Cron);
        }

        return this;
    }
}
