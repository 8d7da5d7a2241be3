using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>The engine's views, as operators of exports look at them.</summary>
internal sealed class EngineViews(NpgsqlDataSource data)
{
    private readonly ExportDatabase _database = new(data, "sql/engine.sql");

    /// <summary>Queues with unfinished runs or limits.</summary>
    public Task<IReadOnlyList<QueueView>> QueuesAsync(CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<QueueView>("ListQueues", new { }, cancellationToken);

    /// <summary>Workers, those that live first.</summary>
    public Task<IReadOnlyList<WorkerView>> WorkersAsync(int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<WorkerView>("ListWorkers", new { Limit = limit }, cancellationToken);

    /// <summary>Schedules of batch exports, by export, from behind one on.</summary>
    public Task<IReadOnlyList<EngineScheduleView>> SchedulesAsync(string? after, int limit, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<EngineScheduleView>("ListSchedules", new { After = after, Limit = limit }, cancellationToken);
}

/// <summary>A row of <c>engine.queues</c>.</summary>
internal sealed record QueueView(
    string Queue, long Queued, long Running, long Waiting, DateTimeOffset? OldestDueAt, double? OldestSeconds, int? MaxRunning, int? RateCount, double? RateSeconds, int? Burst);

/// <summary>A row of <c>engine.workers</c>.</summary>
internal sealed record WorkerView(
    Guid WorkerId, string Name, string Queue, int Slots, string State, int Executing, long RefusedWrites, DateTimeOffset StartedAt, DateTimeOffset RenewedAt,
    DateTimeOffset LeaseUntil, bool Alive);

/// <summary>A row of <c>engine.schedules</c>, with the export that it is of.</summary>
internal sealed record EngineScheduleView(
    string ScheduleId, string? BatchExport, string? Project, string Queue, bool Paused, string? Note, DateTimeOffset SettledTo, DateTimeOffset? NextOccurrence,
    DateTimeOffset? NextAt, double LagSeconds, int Buffered, bool Blocked);
