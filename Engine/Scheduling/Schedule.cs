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
