using Exporter.Engine.Workflows;

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

    /// <summary>
    /// Bounds the run from when it is due to its end, over all claims, waits and retries; then it is timed_out. Default none;
    /// more than zero.
    /// </summary>
    public TimeSpan? ExecutionTimeout { get; init; }

    /// <summary>
    /// When a run that failed is tried again as a whole, from the step that failed. Default never. Only its numbers count;
    /// <see cref="RetryPolicy.NonRetryable"/> must be empty, since types cannot be stored.
    /// </summary>
    public RetryPolicy? Retry { get; init; }

    /// <summary>The version of the workflow's code. Default the newest one that the first worker to claim the run offers; from 1.</summary>
    public int? Version { get; init; }

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

        if (ExecutionTimeout is { } timeout && timeout <= TimeSpan.Zero)
        {
            throw new ArgumentException($"ExecutionTimeout must be more than zero, or null for none; it is {timeout}.", nameof(ExecutionTimeout));
        }

        if (Version is < 1)
        {
            throw new ArgumentException($"Version must be 1 or more, or null for the newest; it is {Version}.", nameof(Version));
        }

        Retry?.Validate();
        if (Retry is { NonRetryable.Count: > 0 })
        {
            throw new ArgumentException("Retry.NonRetryable must be empty for a run; throw NonRetryableException instead.", nameof(Retry));
        }

        return this;
    }
}
