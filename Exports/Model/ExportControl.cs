using System.Text.Json;
using Exporter.Engine.Scheduling;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Exports again what a batch export has left out, or is to forget: the gap of a pause, and everything from a time on.</summary>
public sealed class ExportControl(
    NpgsqlDataSource data, BatchExportStore exports, BackfillStore backfills, RunStore runs, ScheduleClient schedules)
{
    /// <summary>The same in another project.</summary>
    public ExportControl In(string project) => new(data, exports.In(project), backfills, runs, schedules);

    private readonly ExportDatabase _database = new(data, "sql/batch_exports.sql");

    /// <summary>The time that the schedule has left out since the last interval that it started, as an unpause would leave it.</summary>
    /// <returns>Null when nothing is missed.</returns>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public async Task<DataInterval?> MissedAsync(string name, CancellationToken cancellationToken = default)
    {
        var export = await exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
        return await _database.TryInTransactionAsync(
            async transaction =>
            {
                // What an unpause would make of it, taken back: nobody else can say which occurrences of now are due.
                await schedules.UnpauseAsync(export.ToBatchExport().ScheduleId, null, transaction, cancellationToken).ConfigureAwait(false);
                return (await MissedAsync(transaction, export, cancellationToken).ConfigureAwait(false), false);
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Lets the schedule go on with the next occurrence.</summary>
    /// <param name="name">The export.</param>
    /// <param name="catchUp">Whether a backfill exports what the schedule has left out since the last interval that it started; else it stays a
    /// gap. Intervals that are covered all the same are not exported again.</param>
    /// <param name="actor">Who does it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The export, and the backfill when there is one.</returns>
    /// <exception cref="UserErrorException">There is none of this name, or it has missed more intervals than a backfill may have.</exception>
    public async Task<(BatchExportView Export, BackfillView? Backfill)> UnpauseAsync(
        string name, bool catchUp, string actor, CancellationToken cancellationToken = default)
    {
        if (!catchUp)
        {
            return (await exports.UnpauseAsync(name, actor, cancellationToken).ConfigureAwait(false), null);
        }

        var now = await runs.ClockAsync(cancellationToken).ConfigureAwait(false);
        return await _database.InTransactionAsync(
            async transaction =>
            {
                var export = await exports.UnpauseAsync(transaction, name, actor, cancellationToken).ConfigureAwait(false);
                var missed = await MissedAsync(transaction, export, cancellationToken).ConfigureAwait(false);
                return (export, missed is null ? null : await backfills.CreateAsync(
                    transaction, new Backfill { BatchExportId = export.BatchExportId, Range = missed }, export, now, actor, cancellationToken).ConfigureAwait(false));
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Forgets what was exported from a time on, and exports it again, oldest first, in place: with the export as it is configured now. What
    /// is at the destination stays readable until its interval's new run takes its place.
    /// </summary>
    /// <param name="name">The export.</param>
    /// <param name="from">A boundary of the schedule.</param>
    /// <param name="parallel">Runs at once. From 1 to 100.</param>
    /// <param name="actor">Who does it, for the audit log.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The backfill that exports it again.</returns>
    /// <exception cref="UserErrorException">There is none of this name, or nothing has ended since.</exception>
    public async Task<BackfillView> ResetAsync(
        string name, DateTimeOffset from, int parallel, string actor, CancellationToken cancellationToken = default)
    {
        var export = await exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
        var now = await runs.ClockAsync(cancellationToken).ConfigureAwait(false);
        var until = export.Schedule.LastIntervalUntil(now).End;
        if (from >= until)
        {
            throw new UserErrorException("from", $"No interval has ended since {from:yyyy-MM-ddTHH:mm:ssZ}.", $"Give an earlier time; the last one ended {until:yyyy-MM-ddTHH:mm:ssZ}.");
        }

        var range = DataInterval.Between(from, until);
        return await _database.InTransactionAsync(
            async transaction =>
            {
                await BatchExportStore.LockAsync(_database, transaction, export.BatchExportId, name, cancellationToken).ConfigureAwait(false);
                var backfill = await backfills.CreateAsync(
                    transaction,
                    new Backfill { BatchExportId = export.BatchExportId, Range = range, Parallel = parallel, Replace = true },
                    export,
                    now,
                    actor,
                    cancellationToken).ConfigureAwait(false);
                var forgotten = await _database.ExecuteAsync(
                    transaction, "Uncover", new { Id = export.BatchExportId, From = from.UtcDateTime }, cancellationToken).ConfigureAwait(false);
                await AuditLog.WriteAsync(
                    transaction,
                    new(
                        actor,
                        AuditAction.Reset,
                        AuditKind.BatchExport,
                        export.BatchExportId,
                        name,
                        export.Project,
                        After: JsonSerializer.SerializeToNode(new { From = from, ForgottenIntervals = forgotten, backfill.BackfillId }, ExportJson.Options)),
                    cancellationToken).ConfigureAwait(false);
                return backfill;
            },
            cancellationToken).ConfigureAwait(false);
    }

    // The schedule was unpaused in this transaction. After a pause of more occurrences than that settles at once the last interval may be counted
    // as missed though it is about to start; whichever comes second finds it covered.
    private async Task<DataInterval?> MissedAsync(NpgsqlTransaction transaction, BatchExportView export, CancellationToken cancellationToken)
    {
        var state = (await _database.FirstAsync<Occurred>(
            transaction, "Occurred", new { ScheduleId = BatchExport.ScheduleIdOf(export.BatchExportId) }, cancellationToken).ConfigureAwait(false))!;
        var now = new DateTimeOffset(state.Now);
        var first = state.LastStarted is { } started
            ? new DateTimeOffset(started)
            : state.FirstSkipped is { } skipped ? export.Schedule.BoundaryBefore(new DateTimeOffset(skipped)) : null;
        var end = state.Next is { } next && state.NextAt > state.Now
            ? export.Schedule.BoundaryBefore(new DateTimeOffset(next))
            : export.Schedule.BoundaryBefore(now.AddTicks(1));
        return first < end ? new DataInterval(first.Value, end.Value) : null;
    }

    private sealed class Occurred
    {
        public DateTime? LastStarted { get; init; }

        public DateTime? FirstSkipped { get; init; }

        public DateTime? Next { get; init; }

        public DateTime? NextAt { get; init; }

        public DateTime Now { get; init; }
    }
}
