namespace Exporter.Engine.Observability;

/// <summary>Moments in the life of a run that tests wait for, or kill the process at. Nobody listens in production.</summary>
internal sealed class WorkerSignals
{
    /// <summary>Called with the moment, the run and the step, on the thread that got there.</summary>
    public Action<WorkerMoment, Guid, string?>? Raised { get; set; }

    public void Raise(WorkerMoment moment, Guid runId, string? step = null) => Raised?.Invoke(moment, runId, step);
}

/// <summary>A moment in the life of a run.</summary>
internal enum WorkerMoment
{
    /// <summary>Claimed; nothing of it has executed.</summary>
    Claimed,

    /// <summary>An attempt is about to call the step's code.</summary>
    AttemptStarted,

    /// <summary>A checkpoint is durable; its step has not been told.</summary>
    Checkpointed,

    /// <summary>A step's record is durable; the code has not been told.</summary>
    StepRecorded,

    /// <summary>The run's code has ended; its outcome is not written.</summary>
    CodeEnded,

    /// <summary>The worker was told to stop and still holds the run.</summary>
    Stopping,
}
