using Exporter.Engine.Payloads;
using Exporter.Engine.Workers;

namespace Exporter.Engine.Testing;

/// <summary>How a <see cref="TestEngine"/> is started.</summary>
public sealed record TestEngineOptions
{
    /// <summary>
    /// A PostgreSQL server, as a user who may create databases: the engine makes one of its own there and drops it at the end.
    /// Default a <see cref="LocalPostgres"/> of its own, which takes a second or two; start one for all tests to be quicker.
    /// </summary>
    public string? Server { get; init; }

    /// <summary>Where the clock starts. Default the real time.</summary>
    public DateTimeOffset? StartAt { get; init; }

    /// <summary>The worker's queue, unless the test adds workers of its own. Default "default".</summary>
    public string Queue { get; init; } = "default";

    /// <summary>How that worker claims and holds runs. Default as <see cref="WorkerOptions"/>, polling every 100 ms.</summary>
    public WorkerOptions Worker { get; init; } = new() { PollInterval = TimeSpan.FromMilliseconds(100) };

    /// <summary>How payloads are stored. Default as they are, unencrypted.</summary>
    public PayloadCodec? Codec { get; init; }

    /// <summary>
    /// How long, in real time, the clock waits for something in progress in which nothing changes (a step that hangs, a run
    /// that no worker takes) before it moves on over it. Default 1 s; more than zero.
    /// </summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(1);
}
