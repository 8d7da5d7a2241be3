namespace Exporter.Engine.Workflows;

/// <summary>
/// When a failed attempt is followed by another. The wait before attempt n+1 is
/// <c>InitialInterval * BackoffCoefficient^(n-1)</c>, at most <see cref="MaximumInterval"/>, less a random part of up to
/// <see cref="Jitter"/> of it.
/// </summary>
public sealed record RetryPolicy
{
    /// <summary>The defaults of every property.</summary>
    public static RetryPolicy Default { get; } = new();

    /// <summary>One attempt, no retry.</summary>
    public static RetryPolicy None { get; } = new() { MaximumAttempts = 1 };

    /// <summary>The wait after the first attempt. Default 1 s; more than zero.</summary>
    public TimeSpan InitialInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>By how much each wait is longer than the one before. Default 2; from 1.</summary>
    public double BackoffCoefficient { get; init; } = 2;

    /// <summary>No wait is longer. Default 100 s; at least <see cref="InitialInterval"/>.</summary>
    public TimeSpan MaximumInterval { get; init; } = TimeSpan.FromSeconds(100);

    /// <summary>How many attempts there are at most. Default 0, for ever.</summary>
    public int MaximumAttempts { get; init; }

    /// <summary>The largest part of a wait that chance takes off, from 0 to 1. Default 0.2.</summary>
    public double Jitter { get; init; } = 0.2;

    /// <summary>Exceptions of these types, or derived from them, are not tried again. Default none.</summary>
    public IReadOnlyList<Type> NonRetryable { get; init; } = [];

    /// <summary>The wait after the attempt of this number failed.</summary>
    /// <param name="attempt">From 1.</param>
    /// <param name="chance">From 0 to 1, drawn by the caller.</param>
    public TimeSpan WaitAfter(int attempt, double chance)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(attempt, 1);
        var longest = Math.Min(
            InitialInterval.TotalSeconds * Math.Pow(BackoffCoefficient, attempt - 1),
            MaximumInterval.TotalSeconds);
        return TimeSpan.FromSeconds(longest * (1 - (Jitter * chance)));
    }

    /// <summary>Whether an attempt of this number that failed so is followed by another.</summary>
    public bool Retries(int attempt, Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        return (MaximumAttempts == 0 || attempt < MaximumAttempts)
            && error is not NonRetryableException and not WorkflowChangedException
            && !NonRetryable.Any(type => type.IsInstanceOfType(error));
    }

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of the range that its property states.</exception>
    public void Validate()
    {
        if (InitialInterval <= TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(nameof(InitialInterval), InitialInterval, "InitialInterval must be more than zero.");
        }

        if (MaximumInterval < InitialInterval)
        {
            throw new ArgumentOutOfRangeException(
                nameof(MaximumInterval), MaximumInterval, $"MaximumInterval must be at least InitialInterval ({InitialInterval}).");
        }

        if (!(BackoffCoefficient >= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(BackoffCoefficient), BackoffCoefficient, "BackoffCoefficient must be 1 or more.");
        }

        if (!(Jitter is >= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(Jitter), Jitter, "Jitter must be from 0 to 1.");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(MaximumAttempts, nameof(MaximumAttempts));
    }
}
