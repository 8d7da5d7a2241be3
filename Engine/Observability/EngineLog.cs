using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Observability;

/// <summary>Every line that the engine logs, numbered: 1xx workers, 2xx runs, 3xx steps, 4xx writes, 5xx schedules.</summary>
internal static partial class EngineLog
{
    [LoggerMessage(100, LogLevel.Information, "Worker {Name} ({WorkerId}) takes runs of queue {Queue} with {Slots} slots.")]
    public static partial void WorkerStarted(ILogger logger, string name, Guid workerId, string queue, int slots);

    [LoggerMessage(101, LogLevel.Information, "Worker {WorkerId} stops: {Executing} runs are executing.")]
    public static partial void WorkerStopping(ILogger logger, Guid workerId, int executing);

    [LoggerMessage(102, LogLevel.Information, "Worker {WorkerId} has stopped.")]
    public static partial void WorkerStopped(ILogger logger, Guid workerId);

    [LoggerMessage(103, LogLevel.Warning, "Worker {WorkerId} lost its lease with {Executing} runs; it starts again under a new id.")]
    public static partial void WorkerLost(ILogger logger, Guid workerId, int executing);

    [LoggerMessage(104, LogLevel.Warning, "The lease of worker {Name} ({WorkerId}) ended; its runs go on elsewhere.")]
    public static partial void OtherWorkerLost(ILogger logger, string name, Guid workerId);

    [LoggerMessage(105, LogLevel.Warning, "{Task} failed and is tried again: {Error}")]
    public static partial void TriedAgain(ILogger logger, string task, string error);

    [LoggerMessage(106, LogLevel.Error, "The schema engine lacks {Missing}: run `exporter migrate`, or EngineSchema.MigrateAsync. Until then this worker waits.")]
    public static partial void SchemaTooOld(ILogger logger, string missing);

    [LoggerMessage(107, LogLevel.Information, "The schema engine is as this version needs it: the worker goes on.")]
    public static partial void SchemaIsThere(ILogger logger);

    [LoggerMessage(108, LogLevel.Information, "PostgreSQL is reached through a pooler: statements are not prepared, and notifications not listened to, so that new work is found by polling. ListenThrough a direct connection, if that is too slow.")]
    public static partial void BehindPooler(ILogger logger);

    [LoggerMessage(109, LogLevel.Information, "{Name} had {Before} MB for {Rows} rows and has {After} MB now.")]
    public static partial void IndexRebuilt(ILogger logger, string name, double before, long rows, double after);

    [LoggerMessage(110, LogLevel.Warning, "Index {Index}, which a rebuild that broke off had left behind, is dropped.")]
    public static partial void LeftoverDropped(ILogger logger, string index);

    [LoggerMessage(200, LogLevel.Debug, "Run {RunId} of {Workflow} is claimed under epoch {Epoch}.")]
    public static partial void RunClaimed(ILogger logger, Guid runId, string workflow, long epoch);

    [LoggerMessage(201, LogLevel.Debug, "Run {RunId} is {State}.")]
    public static partial void RunFinished(ILogger logger, Guid runId, string state);

    [LoggerMessage(202, LogLevel.Warning, "Run {RunId} failed: {Error}")]
    public static partial void RunFailed(ILogger logger, Guid runId, string error);

    [LoggerMessage(203, LogLevel.Warning, "Run {RunId} is held under another epoch than {Epoch}: this worker drops it.")]
    public static partial void RunDropped(ILogger logger, Guid runId, long epoch);

    [LoggerMessage(300, LogLevel.Warning, "Run {RunId}, step {Step}, attempt {Attempt} failed: {Error}")]
    public static partial void AttemptFailed(ILogger logger, Guid runId, string step, int attempt, string error);

    [LoggerMessage(301, LogLevel.Warning, "Run {RunId}, step {Step}, attempt {Attempt} goes on after its end; its code does not heed its cancellation token.")]
    public static partial void AttemptIgnoresToken(ILogger logger, Guid runId, string step, int attempt);

    [LoggerMessage(400, LogLevel.Warning, "{Count} writes were refused: their runs are held under other epochs.")]
    public static partial void WritesRefused(ILogger logger, int count);

    [LoggerMessage(500, LogLevel.Error, "Schedule {ScheduleId} cannot fire and is paused: {Error}")]
    public static partial void SchedulePaused(ILogger logger, string scheduleId, string error);
}
