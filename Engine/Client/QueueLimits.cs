namespace Exporter.Engine.Client;

/// <summary>Limits of a queue, or of one concurrency key in it, over all workers.</summary>
public sealed record QueueLimits
{
    /// <summary>At most so many runs execute at once. Default null, no limit; from 1 to 1,000,000.</summary>
    public int? MaxRunning { get; init; }

    /// <summary>How often runs start. Default null, no limit.</summary>
    public StartRate? Rate { get; init; }

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentException">A value is out of the range that its property states.</exception>
    public QueueLimits Validate()
    {
        StartRate.Between(MaxRunning ?? 1, nameof(MaxRunning));
        Rate?.Validate();
        return this;
    }
}

/// <summary>
/// A rate of starts: in any time t, at most <see cref="Burst"/> + <see cref="Count"/> x t / <see cref="Period"/>. Every claim
/// counts: also when a run goes on after a long wait or the loss of its worker.
/// </summary>
public sealed record StartRate
{
    /// <summary>So many in a period. From 1 to 1,000,000.</summary>
    public required int Count { get; init; }

    /// <summary>The period. Default one second; from 1 ms to 31 days.</summary>
    public TimeSpan Period { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>So many may start at once after a quiet time. Default 1; from 1 to 1,000,000.</summary>
    public int Burst { get; init; } = 1;

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentException">A value is out of the range that its property states.</exception>
    public StartRate Validate()
    {
        Between(Count, nameof(Count));
        Between(Burst, nameof(Burst));
        return Period >= TimeSpan.FromMilliseconds(1) && Period <= TimeSpan.FromDays(31)
            ? this
            : throw new ArgumentException($"Period must be from 1 ms to 31 days; it is {Period}.", nameof(Period));
    }

    internal static void Between(int value, string name)
    {
        if (value is < 1 or > 1_000_000)
        {
            throw new ArgumentException($"{name} must be from 1 to 1,000,000; it is {value}.", name);
        }
    }
}
