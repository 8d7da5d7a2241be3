using System.Text.Json;
using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Backfills, each with the engine's run that starts its runs.</summary>
public sealed class BackfillStore(NpgsqlDataSource data, EngineClient engine, RunStore runs)
{
    /// <summary>The name of the workflow.</summary>
    public const string Workflow = "backfill";

    /// <summary>The queue of backfills.</summary>
    public const string Queue = "backfills";

    private readonly ExportDatabase _database = new(data, "sql/backfills.sql");
    private readonly ExportDatabase _exports = new(data, "sql/batch_exports.sql");

    /// <summary>Starts a backfill.</summary>
    /// <param name="backfill">The backfill.</param>
    /// <param name="export">Its batch export.</param>
    /// <param name="actor">Who starts it.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">The range is not one that can be exported.</exception>
    public async Task<BackfillView> CreateAsync(Backfill backfill, BatchExportView export, string actor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(backfill);
        ArgumentNullException.ThrowIfNull(export);
        var now = await runs.ClockAsync(cancellationToken).ConfigureAwait(false);
        return await _database.InTransactionAsync(
            transaction => CreateAsync(transaction, backfill, export, now, actor, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Joins a transaction of the caller's.</summary>
    internal async Task<BackfillView> CreateAsync(
        NpgsqlTransaction transaction, Backfill backfill, BatchExportView export, DateTimeOffset now, string actor, CancellationToken cancellationToken)
    {
        var intervals = backfill.Intervals(export.Schedule, now);
        var runId = Guid.CreateVersion7();
        await BatchExportStore.LockAsync(_exports, transaction, export.BatchExportId, export.Name, cancellationToken).ConfigureAwait(false);
        await _database.ExecuteAsync(
            transaction,
            "InsertBackfill",
            new
            {
                backfill.Id,
                backfill.BatchExportId,
                backfill.Range.Start,
                backfill.Range.End,
                Intervals = intervals.Count,
                backfill.Parallel,
                backfill.Replace,
                backfill.NewestFirst,
                RunId = runId,
                CreatedBy = actor,
            },
            cancellationToken).ConfigureAwait(false);
        await engine.StartAsync(
            Workflow,
            new BackfillInput { BackfillId = backfill.Id },
            new StartOptions { RunId = runId, Queue = Queue, Tags = RunControl.Tags(export) },
            transaction,
            cancellationToken).ConfigureAwait(false);
        var created = await _database.ViewAsync<BackfillView>(transaction, "FindBackfill", new { backfill.Id }, cancellationToken).ConfigureAwait(false);
        await AuditLog.WriteAsync(
            transaction,
            new(actor, AuditAction.Create, AuditKind.Backfill, backfill.Id, export.Name, export.Project, After: JsonSerializer.SerializeToNode(created, ExportJson.Options)),
            cancellationToken).ConfigureAwait(false);
        return created!;
    }

    /// <summary>A backfill.</summary>
    /// <exception cref="UserErrorException">There is none of this id.</exception>
    public async Task<BackfillView> GetAsync(Guid id, CancellationToken cancellationToken = default) =>
        await _database.ViewAsync<BackfillView>("FindBackfill", new { Id = id }, cancellationToken).ConfigureAwait(false)
            ?? throw new UserErrorException("backfill", $"There is no backfill {id}.", "See `exporter backfill list`.", reason: UserErrorReason.NotFound);

    /// <summary>Backfills, the newest first.</summary>
    public Task<IReadOnlyList<BackfillView>> ListAsync(BackfillFilter filter, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(filter);
        return _database.ViewsAsync<BackfillView>(
            "ListBackfills",
            new { filter.Project, filter.BatchExport, AfterAt = filter.After?.CreatedAt.UtcDateTime, AfterId = filter.After?.Id, filter.Limit },
            cancellationToken);
    }

    /// <summary>How far the runs are that a backfill has started.</summary>
    public async Task<BackfillProgress> ProgressAsync(Guid id, CancellationToken cancellationToken = default) =>
        (await _database.FirstAsync<BackfillProgress>("BackfillProgress", new { Id = id }, cancellationToken).ConfigureAwait(false))!;

    /// <summary>Asks a backfill and its runs to end; what they have exported stays.</summary>
    /// <returns>False when it has ended.</returns>
    /// <exception cref="UserErrorException">There is none of this id.</exception>
    public async Task<bool> CancelAsync(Guid id, string actor, CancellationToken cancellationToken = default)
    {
        var cancelled = await SteerAsync(id, run => engine.CancelAsync(run, cancellationToken), AuditAction.Cancel, actor, cancellationToken).ConfigureAwait(false);
        if (cancelled)
        {
            await CancelRunsAsync(id, cancellationToken).ConfigureAwait(false);
        }

        return cancelled;
    }

    /// <summary>Lets a backfill start nothing more until <see cref="ResumeAsync"/>. Runs that it has started go on; nothing of them is lost.</summary>
    /// <returns>False when it has ended, or is asked to.</returns>
    /// <exception cref="UserErrorException">There is none of this id.</exception>
    public Task<bool> PauseAsync(Guid id, string actor, CancellationToken cancellationToken = default) =>
        SteerAsync(id, run => engine.PauseAsync(run, cancellationToken), AuditAction.Pause, actor, cancellationToken);

    /// <summary>Lets a paused backfill go on.</summary>
    /// <returns>False when it is not paused.</returns>
    /// <exception cref="UserErrorException">There is none of this id.</exception>
    public Task<bool> ResumeAsync(Guid id, string actor, CancellationToken cancellationToken = default) =>
        SteerAsync(id, run => engine.ResumeAsync(run, cancellationToken), AuditAction.Resume, actor, cancellationToken);

    private async Task<bool> SteerAsync(Guid id, Func<Guid, Task<bool>> steer, AuditAction action, string actor, CancellationToken cancellationToken)
    {
        var backfill = await GetAsync(id, cancellationToken).ConfigureAwait(false);
        return await steer(backfill.RunId).ConfigureAwait(false) && await _database.InTransactionAsync(
            async transaction =>
            {
                await AuditLog.WriteAsync(
                    transaction, new(actor, action, AuditKind.Backfill, id, backfill.BatchExport, backfill.Project), cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Asks the runs that a backfill has in progress to end.</summary>
    internal async Task CancelRunsAsync(Guid id, CancellationToken cancellationToken)
    {
        foreach (var run in await _database.ListAsync<Guid>("UnfinishedRunsOfBackfill", new { Id = id }, cancellationToken).ConfigureAwait(false))
        {
            await engine.CancelAsync(run, cancellationToken).ConfigureAwait(false);
        }
    }
}

/// <summary>Which backfills are listed; null is all.</summary>
public sealed record BackfillFilter
{
    /// <summary>Only of this project.</summary>
    public string? Project { get; init; }

    /// <summary>Only of this export.</summary>
    public string? BatchExport { get; init; }

    /// <summary>Only older ones than this: for the next page.</summary>
    public ListPlace? After { get; init; }

    /// <summary>At most so many. Default 50.</summary>
    public int Limit { get; init; } = 50;
}

/// <summary>A place in a list of the newest first.</summary>
/// <param name="CreatedAt">When the last one before it was made.</param>
/// <param name="Id">Its id.</param>
public sealed record ListPlace(DateTimeOffset CreatedAt, Guid Id);

/// <summary>What a run of the workflow <see cref="BackfillStore.Workflow"/> is started with.</summary>
public sealed record BackfillInput
{
    /// <summary>The backfill.</summary>
    public required Guid BackfillId { get; init; }
}

/// <summary>How far the runs of a backfill are, of those that are planned.</summary>
public sealed record BackfillProgress
{
    /// <summary>Slices.</summary>
    public long Slices { get; init; }

    /// <summary>Slices that are in the destination.</summary>
    public long Committed { get; init; }

    /// <summary>Rows counted at the source.</summary>
    public long ExpectedRows { get; init; }

    /// <summary>Rows in the destination.</summary>
    public long ExportedRows { get; init; }
}
