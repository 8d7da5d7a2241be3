namespace Exporter.Engine.Storage;

/// <summary>What a write is about; in the order in which one transaction applies them.</summary>
internal enum WriteKind
{
    /// <summary>A step's output, final failure, or timer.</summary>
    Record,

    /// <summary>A failed attempt.</summary>
    FailedAttempt,

    /// <summary>A checkpoint or a sign of life of a step in progress.</summary>
    OpenStep,

    /// <summary>What the run's code says of itself.</summary>
    Status,

    /// <summary>The run is final.</summary>
    Finish,

    /// <summary>The run is given back, at once or until a time.</summary>
    Leave,

    /// <summary>The run failed and is tried again as a whole after a wait.</summary>
    Retry,

    /// <summary>The run begins anew with another input.</summary>
    Continue,

    /// <summary>A line of the run's log; not fenced.</summary>
    Log,
}

/// <summary>One write of a holder, under its epoch.</summary>
internal sealed class Write(WriteKind kind, Guid runId, long epoch)
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public WriteKind Kind { get; } = kind;

    public Guid RunId { get; } = runId;

    public long Epoch { get; } = epoch;

    public int Place { get; init; }

    /// <summary>The step's name; a log line's step.</summary>
    public string? Name { get; init; }

    /// <summary>This attempt, or how many there were.</summary>
    public int Attempt { get; init; }

    /// <summary>An output or a checkpoint, as stored.</summary>
    public byte[]? Payload { get; init; }

    /// <summary>An error, or a log line's text.</summary>
    public string? Error { get; init; }

    /// <summary>A final state's word, a log line's level, or a run's own status.</summary>
    public string? State { get; init; }

    /// <summary>How long ago the step or attempt began.</summary>
    public TimeSpan Took { get; init; }

    /// <summary>A timer's, a retry's or a leave's wait; how long a step has given no sign of life; how old a log line is.</summary>
    public TimeSpan? Wait { get; init; }

    /// <summary>A leave that waits for an event: how many had been seen.</summary>
    public long? SeenEvents { get; init; }

    /// <summary>Whether the step, or a step of the run, has an open_step row to be removed.</summary>
    public bool ClosesOpen { get; init; }

    /// <summary>Ends when the write is durable, or with <see cref="Workflows.LeaseLostException"/> when it was refused.</summary>
    public Task Done => _done.Task;

    public void Settle(Exception? error)
    {
        if (error is null)
        {
            _done.TrySetResult();
        }
        else if (_done.TrySetException(error))
        {
            // Not everybody waits for every write (log lines, signs of life).
            _ = _done.Task.Exception;
        }
    }
}
