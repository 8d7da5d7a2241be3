namespace Exporter.Engine.Scheduling;

/// <summary>Starts a run of a workflow at each of its occurrences.</summary>
public sealed record Schedule
{
    /// <summary>Its id; from 1 to 200 characters.</summary>
    public required string Id { get; init; }

    /// <summary>When it occurs.</summary>
    public required ScheduleSpec Spec { get; init; }

    /// <summary>The workflow to start; from 1 to 200 characters.</summary>
    public required string Workflow { get; init; }

    /// <summary>The queue that its runs wait in. Default "default"; from 1 to 100 characters.</summary>
    public string Queue { get; init; } = "default";

    /// <summary>The priority of its runs; lower goes first. Default 0.</summary>
    public short Priority { get; init; }

    /// <summary>The concurrency key of its runs, as <see cref="Client.StartOptions.ConcurrencyKey"/>. Default none; from 1 to 200 characters.</summary>
    public string? ConcurrencyKey { get; init; }

    /// <summary>
    /// Each of its runs begins only while fewer than so many of the queue's runs with its <see cref="ConcurrencyKey"/> execute.
    /// Default 1; from 1 to 10,000.
    /// </summary>
    public int ConcurrencyLimit { get; init; } = 1;

    /// <summary>What becomes of an occurrence while an earlier run is going. Default <see cref="OverlapPolicy.Skip"/>.</summary>
    public OverlapPolicy Overlap { get; init; }

    /// <summary>An occurrence that could not be fired for longer than this is skipped, and recorded so. Default 1 day; from 0 to 3,660 days.</summary>
    public TimeSpan CatchUpWindow { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Words to find its runs by. Default none; at most 20 pairs.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentException">A value is out of the range that its property states.</exception>
    public Schedule Validate()
    {
        HasLength(Id, 200, nameof(Id));
        HasLength(Workflow, 200, nameof(Workflow));
        HasLength(Queue, 100, nameof(Queue));
        if (ConcurrencyKey is { } key)
        {
            HasLength(key, 200, nameof(ConcurrencyKey));
        }

        if (ConcurrencyLimit is < 1 or > 10_000)
        {
            throw new ArgumentException($"ConcurrencyLimit must be from 1 to 10,000; it is {ConcurrencyLimit}.", nameof(ConcurrencyLimit));
        }

        if (CatchUpWindow < TimeSpan.Zero || CatchUpWindow > TimeSpan.FromDays(3660))
        {
            throw new ArgumentException($"CatchUpWindow must be from 0 to 3,660 days; it is {CatchUpWindow}.", nameof(CatchUpWindow));
        }

        if (Tags.Count > 20)
        {
            throw new ArgumentException($"Tags must be at most 20 pairs; there are {Tags.Count}.", nameof(Tags));
        }

        _ = OverlapPolicyText.Of(Overlap);
        Spec.Validate();
        return this;
    }

    private static void HasLength(string value, int most, string name)
    {
        if (string.IsNullOrWhiteSpace(value) || value.Length > most || value.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException($"{name} must have 1 to {most} characters, not only blanks, and no NUL; it has {value?.Length ?? 0}.", name);
        }
    }
}
