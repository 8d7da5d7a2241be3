namespace Exporter.Engine.Health;

/// <summary>When the engine's health check says degraded or unhealthy.</summary>
public sealed record EngineHealthOptions
{
    /// <summary>How long the database may take to answer before it counts as gone. Default 5 s; from 100 ms to 1 min.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Runs of this process's queues that wait for code which no worker offers make it degraded once they have been due
    /// for so long. Default 1 min; from 0, or null for never.</summary>
    public TimeSpan? StrandedAfter { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of the range that its property states.</exception>
    public EngineHealthOptions Validate()
    {
        if (Timeout < TimeSpan.FromMilliseconds(100) || Timeout > TimeSpan.FromMinutes(1))
        {
            throw new ArgumentOutOfRangeException(nameof(Timeout), Timeout, $"{nameof(Timeout)} must be from 100 ms to 1 min.");
        }

        if (StrandedAfter < TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(nameof(StrandedAfter), StrandedAfter, $"{nameof(StrandedAfter)} must be 0 or more.");
        }

        return this;
    }
}
