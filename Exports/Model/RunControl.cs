using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Starts and steers batch export runs: the engine's run and the row in <c>exports.run</c> exist together or not at all.</summary>
public sealed class RunControl(NpgsqlDataSource data, EngineClient engine, RunStore runs)
{
    // After the runs that schedules and people start.
    private const short BackfillPriority = 10;

    private readonly ExportDatabase _database = new(data, "sql/batch_exports.sql");
    private readonly ExportDatabase _verifications = new(data, "sql/verifications.sql");

    /// <summary>Starts a run of one data interval by hand.</summary>
    /// <param name="export">The batch export.</param>
    /// <param name="interval">Between two boundaries of its schedule; the last one that has ended when null.</param>
    /// <param name="actor">Who starts it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="UserErrorException">The interval is not one that can be exported now.</exception>
    public async Task<Guid> StartAsync(BatchExportView export, DataInterval? interval, string actor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(export);
        var now = await runs.ClockAsync(cancellationToken).ConfigureAwait(false);
        var chosen = interval ?? export.Schedule.LastIntervalUntil(now);
        export.Schedule.CheckBoundaries(chosen);
        if (chosen.End > now)
        {
            throw new UserErrorException("end", $"The end of {chosen} has not come yet.", "Choose an interval that has ended.");
        }

        var runId = Guid.CreateVersion7();
        await _database.InTransactionAsync(
            async transaction =>
            {
                await runs.InsertAsync(transaction, new(runId, export.BatchExportId, chosen, RunTrigger.Manual), cancellationToken).ConfigureAwait(false);
                await engine.StartAsync(
                    ExportInput.Workflow,
                    new ExportInput { BatchExportId = export.BatchExportId },
                    new StartOptions { RunId = runId, Queue = ExportInput.Queue, Tags = Tags(export) },
                    transaction,
                    cancellationToken).ConfigureAwait(false);
                await AuditLog.WriteAsync(
                    transaction, new(actor, AuditAction.Run, AuditKind.Run, runId, export.Name, export.Project, After: chosen.ToString()), cancellationToken).ConfigureAwait(false);
                return runId;
            },
            cancellationToken).ConfigureAwait(false);
        return runId;
    }

    /// <summary>Starts the run of an interval for a backfill, or finds the one that was started before.</summary>
    /// <returns>The run; null when another run is exporting a part of the interval, so try again later; or skipped.</returns>
    /// <exception cref="UserErrorException">The export was deleted, or what is covered overlaps the interval in part.</exception>
    internal Task<BackfillStart?> StartForBackfillAsync(BackfillView backfill, DataInterval interval, CancellationToken cancellationToken) =>
        _database.TryInTransactionAsync<BackfillStart?>(
            async transaction =>
            {
                var exportId = backfill.BatchExportId;
                await BatchExportStore.LockAsync(_database, transaction, exportId, backfill.BatchExport, cancellationToken).ConfigureAwait(false);
                var started = await engine.StartAsync(
                    ExportInput.Workflow,
                    new ExportInput { BatchExportId = exportId },
                    new StartOptions
                    {
                        IdempotencyKey = $"backfill:{backfill.BackfillId}:{interval.ToKey()}",
                        Queue = ExportInput.Queue,
                        Priority = BackfillPriority,
                        Tags = new Dictionary<string, string> { ["batch_export"] = backfill.BatchExport, ["backfill"] = backfill.BackfillId.ToString() },
                    },
                    transaction,
                    cancellationToken).ConfigureAwait(false);
                if (!started.IsNew)
                {
                    return (new BackfillStart(started.RunId), true);
                }

                // From here on, leaving without the row takes the engine's run back with it.
                if (!backfill.Replace && await runs.IsCoveredAsync(exportId, interval, cancellationToken).ConfigureAwait(false))
                {
                    return (new BackfillStart(null), false);
                }

                if (await runs.FindObstacleAsync(transaction, started.RunId, exportId, interval, cancellationToken).ConfigureAwait(false) is { } obstacle)
                {
                    return obstacle.Passes ? (null, false) : throw obstacle.Error;
                }

                await runs.InsertAsync(
                    transaction, new(started.RunId, exportId, interval, RunTrigger.Backfill, backfill.BackfillId), cancellationToken).ConfigureAwait(false);
                return (new BackfillStart(started.RunId), true);
            },
            cancellationToken);

    /// <summary>Asks a run, or a later look at one, to end.</summary>
    /// <returns>False when it has ended.</returns>
    /// <exception cref="UserErrorException">There is no such run.</exception>
    public async Task<bool> CancelAsync(Guid runId, string actor, CancellationToken cancellationToken = default)
    {
        var run = await RunOfAsync(runId, cancellationToken).ConfigureAwait(false);
        return await engine.CancelAsync(runId, cancellationToken).ConfigureAwait(false)
            && await AuditedAsync(actor, AuditAction.Cancel, run, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Lets a run that failed, was cancelled or timed out go on from its committed slices.</summary>
    /// <returns>False when it is none of these.</returns>
    /// <exception cref="UserErrorException">There is no such run, or another one moves a part of its interval.</exception>
    public async Task<bool> RetryAsync(Guid runId, string actor, CancellationToken cancellationToken = default)
    {
        var run = await runs.GetAsync(runId, cancellationToken).ConfigureAwait(false);
        return await _database.InTransactionAsync(
            async transaction =>
            {
                // The export stays locked until the engine has the run again, so nothing starts in between.
                await BatchExportStore.LockAsync(_database, transaction, run.BatchExportId, run.BatchExport, cancellationToken).ConfigureAwait(false);
                if (await runs.FindObstacleAsync(transaction, runId, run.BatchExportId, run.Interval(), cancellationToken).ConfigureAwait(false) is { } obstacle)
                {
                    throw obstacle.Error;
                }

                return await engine.RetryAsync(runId, cancellationToken).ConfigureAwait(false);
            },
            cancellationToken).ConfigureAwait(false)
            && await AuditedAsync(actor, AuditAction.Retry, run, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A run, by its own id or by that of a later look at it.</summary>
    /// <exception cref="UserErrorException">There is no such run.</exception>
    internal async Task<RunView> RunOfAsync(Guid id, CancellationToken cancellationToken)
    {
        var look = await _verifications.ViewAsync<VerificationView>("FindVerification", new { VerificationId = id }, cancellationToken).ConfigureAwait(false);
        return await runs.GetAsync(look?.RunId ?? id, cancellationToken).ConfigureAwait(false);
    }

    internal static Dictionary<string, string> Tags(BatchExportView export) => new() { ["batch_export"] = export.Name };

    private Task<bool> AuditedAsync(string actor, AuditAction action, RunView run, CancellationToken cancellationToken) =>
        _database.InTransactionAsync(
            async transaction =>
            {
                await AuditLog.WriteAsync(
                    transaction, new(actor, action, AuditKind.Run, run.RunId, run.BatchExport, run.Project), cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken);
}

/// <summary>The run that a backfill started for an interval; null when the interval is covered and was left out.</summary>
internal sealed record BackfillStart(Guid? RunId);
