namespace Exporter.Engine.Client;

/// <summary>How a run is started.</summary>
public sealed record StartOptions
{
    /// <summary>The run's id. Default a new one, ordered by time.</summary>
    public Guid? RunId { get; init; }

    /// <summary>
    /// At most one run of a workflow has this key, for as long as that run is kept; a second start answers the first one's
    /// id. Default none; at most 500 characters.
    /// </summary>
    public string? IdempotencyKey { get; init; }

    /// <summary>Where the run waits. Default "default"; at most 100 characters.</summary>
    public string Queue { get; init; } = "default";

    /// <summary>Lower goes first. Default 0; from -32768 to 32767.</summary>
    public short Priority { get; init; }

    /// <summary>
    /// Of the queue's runs with this key at most <see cref="ConcurrencyLimit"/> execute at once, over all workers. One that
    /// waits for a time or a signal does not count. Default none; from 1 to 200 characters.
    /// </summary>
    public string? ConcurrencyKey { get; init; }

    /// <summary>
    /// This run starts only while fewer than so many with its <see cref="ConcurrencyKey"/> execute. Default 1; from 1 to 10,000.
    /// </summary>
    public int ConcurrencyLimit { get; init; } = 1;

    /// <summary>Not before this time, by the database's clock. Default at once.</summary>
    public DateTimeOffset? StartAt { get; init; }

    /// <summary>Words to find the run by. Default none; at most 20 pairs.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentException">A value is out of the range that its property states.</exception>
    public StartOptions Validate()
    {
        if (IdempotencyKey is { } key && (key.Length is 0 or > 500 || key.Contains('\0', StringComparison.Ordinal)))
        {
            throw new ArgumentException("IdempotencyKey must have 1 to 500 characters and no NUL.", nameof(IdempotencyKey));
        }

        if (Queue.Length is 0 or > 100 || Queue.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException("Queue must have 1 to 100 characters and no NUL.", nameof(Queue));
        }

        if (ConcurrencyKey is { } together && (together.Length is 0 or > 200 || together.Contains('\0', StringComparison.Ordinal)))
        {
            throw new ArgumentException("ConcurrencyKey must have 1 to 200 characters and no NUL.", nameof(ConcurrencyKey));
        }

        if (ConcurrencyLimit is < 1 or > 10_000)
        {
            throw new ArgumentException($"ConcurrencyLimit must be from 1 to 10,000; it is {ConcurrencyLimit}.", nameof(ConcurrencyLimit));
        }

        if (Tags.Count > 20)
        {
            throw new ArgumentException($"Tags must be at most 20 pairs; there are {Tags.Count}.", nameof(Tags));
        }

        return this;
    }
}
