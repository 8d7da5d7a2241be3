namespace Exporter.Engine.Workers;

/// <summary>How a worker claims and holds runs.</summary>
public sealed record WorkerOptions
{
    /// <summary>Runs executed at once. Default 16; from 1 to 10,000.</summary>
    public int Slots { get; init; } = 16;

    /// <summary>How long a worker that is not heard of keeps its runs. Default 30 s; from 1 s to 1 h.</summary>
    public TimeSpan LeasePeriod { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often an idle worker asks for runs where no notifications come; where they do, two thirds as often, and when a
    /// timer or a schedule is due. Default 1 s; from 10 ms to 1 min.</summary>
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a shutdown lets steps in progress go on. Default 20 s; from 0. Keep the host's own limit
    /// (<c>HostOptions.ShutdownTimeout</c>, 30 s) above it.</summary>
    public TimeSpan ShutdownGrace { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>A wait longer than this gives the slot back. Default 5 s; from 0.</summary>
    public TimeSpan LongestWaitInSlot { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the code of an attempt may go on after its token fired, before the next attempt starts without it.
    /// Default 10 s; from 0.</summary>
    public TimeSpan CancelGrace { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Connections that write at once. Default 1, with 2,000 slots or more 2, since few large transactions cost less than
    /// many small ones; from 1 to 8.</summary>
    public int? Writers { get; init; }

    /// <summary>Bytes, as stored, of the largest output of a step or of a run; a larger one is an error that is not tried again.
    /// Default 4 MiB; from 1 KiB to 256 MiB.</summary>
    public int LargestPayload { get; init; } = 4 << 20;

    /// <summary>
    /// How long runs are kept once they are final, with their steps, attempts, signals and logs; then their ids and idempotency
    /// keys are free. Default 90 days; from 1 minute, or null for ever.
    /// </summary>
    public TimeSpan? KeepFinished { get; init; } = TimeSpan.FromDays(90);

    /// <summary>Bytes from which on an index of the tables of unfinished runs is rebuilt when it is mostly empty, without holding up
    /// anybody, if the worker's user owns the schema. Default 8 MiB; from 64 KiB, or null for never.</summary>
    public long? ReindexFrom { get; init; } = 8 << 20;

    /// <summary>How often a worker looks whether such indexes are to be rebuilt. Default 1 min; from 100 ms to 1 day.</summary>
    public TimeSpan ReindexInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The worker's name in views. Default machine and process id; at most 200 characters.</summary>
    public string Name { get; init; } = $"{Environment.MachineName}:{Environment.ProcessId}";

    /// <summary>Throws when a value is out of range, naming it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of the range that its property states.</exception>
    public WorkerOptions Validate()
    {
        Between(Slots, 1, 10_000, nameof(Slots));
        Between(LeasePeriod, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1), nameof(LeasePeriod));
        Between(PollInterval, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(1), nameof(PollInterval));
        Between(ShutdownGrace, TimeSpan.Zero, TimeSpan.FromDays(1), nameof(ShutdownGrace));
        Between(LongestWaitInSlot, TimeSpan.Zero, TimeSpan.FromDays(1), nameof(LongestWaitInSlot));
        Between(CancelGrace, TimeSpan.Zero, TimeSpan.FromHours(1), nameof(CancelGrace));
        Between(Writers ?? 1, 1, 8, nameof(Writers));
        Between(KeepFinished ?? TimeSpan.MaxValue, TimeSpan.FromMinutes(1), TimeSpan.MaxValue, nameof(KeepFinished));
        Between(LargestPayload, 1 << 10, 256 << 20, nameof(LargestPayload));
        Between(ReindexFrom ?? long.MaxValue, 64 << 10, long.MaxValue, nameof(ReindexFrom));
        Between(ReindexInterval, TimeSpan.FromMilliseconds(100), TimeSpan.FromDays(1), nameof(ReindexInterval));
        Between(Name.Length, 1, 200, nameof(Name));
        return this;
    }

    private static void Between<T>(T value, T least, T most, string name)
        where T : IComparable<T>
    {
        if (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be from {least} to {most}.");
        }
    }
}
