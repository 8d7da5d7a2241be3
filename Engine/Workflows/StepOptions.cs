namespace Exporter.Engine.Workflows;

/// <summary>How long a step may take and how it is tried again.</summary>
public sealed record StepOptions
{
    /// <summary>The defaults of every property.</summary>
    public static StepOptions Default { get; } = new();

    /// <summary>Bounds one attempt, from its start to its end. Default none; more than zero.</summary>
    public TimeSpan? StartToClose { get; init; }

    /// <summary>Bounds all attempts with their waits, from the first start. Default none; more than zero.</summary>
    public TimeSpan? ScheduleToClose { get; init; }

    /// <summary>Bounds the time between two signs of life of an attempt. Default none; more than zero.</summary>
    public TimeSpan? HeartbeatTimeout { get; init; }

    /// <summary>When and how often a failed attempt is followed by another.</summary>
    public RetryPolicy Retry { get; init; } = RetryPolicy.Default;

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of the range that its property states.</exception>
    public StepOptions Validate()
    {
        Positive(StartToClose, nameof(StartToClose));
        Positive(ScheduleToClose, nameof(ScheduleToClose));
        Positive(HeartbeatTimeout, nameof(HeartbeatTimeout));
        Retry.Validate();
        return this;
    }

    private static void Positive(TimeSpan? value, string name)
    {
        if (value is { } given && given <= TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(name, given, $"{name} must be more than zero, or null for none.");
        }
    }
}
