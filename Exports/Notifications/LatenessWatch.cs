using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Exports.Notifications;

/// <summary>Looks, now and then, whether the latest interval of each export that has <c>late_after</c> is at the destination in time. Every worker looks; one finds it.</summary>
internal sealed class LatenessWatch(NpgsqlDataSource data, NotificationOutbox outbox, RunStore runs, TimeProvider time, ILogger<LatenessWatch> log) : BackgroundService
{
    /// <summary>How often it looks.</summary>
    public static TimeSpan Period { get; } = TimeSpan.FromSeconds(30);

    private readonly ExportDatabase _database = new(data, "sql/notifications.sql");
    private readonly ExportDatabase _exports = new(data, "sql/batch_exports.sql");

    /// <summary>Looks once.</summary>
    public async Task LookAsync(CancellationToken cancellationToken)
    {
        var now = await runs.ClockAsync(cancellationToken).ConfigureAwait(false);
        foreach (var export in await _database.ViewsAsync<BatchExportView>("Watched", new { }, cancellationToken).ConfigureAwait(false))
        {
            if (DueBefore(export, now) is { } due)
            {
                await LookAsync(export, due, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Period, time);
        do
        {
            try
            {
                await LookAsync(stoppingToken).ConfigureAwait(false);
            }
            catch (Exception error) when (error is NpgsqlException or TimeoutException)
            {
                // The database's own errors are told by everything else.
                PipelineLog.LatenessUnknown(log, error.Message);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false));
    }

    // The last interval that has been due long enough.
    private static DataInterval? DueBefore(BatchExportView export, DateTimeOffset now)
    {
        var due = now - export.Settings.LateAfter!.Value;
        return export.Schedule.Start is { } start && due <= start ? null : export.Schedule.LastIntervalUntil(due);
    }

    private Task<bool> LookAsync(BatchExportView export, DataInterval due, CancellationToken cancellationToken) => _database.InTransactionAsync(
        async transaction =>
        {
            var about = new { export.BatchExportId, due.Start, due.End };
            if (!await _exports.FirstAsync<bool>(transaction, "LockBatchExport", new { Id = export.BatchExportId }, cancellationToken).ConfigureAwait(false)
                || !await _database.FirstAsync<bool>(transaction, "IsLate", about, cancellationToken).ConfigureAwait(false))
            {
                return false;
            }

            await outbox.BeginAsync(
                transaction,
                TroubleKind.Late,
                new(
                    export.BatchExportId,
                    due,
                    null,
                    $"{due} is not at the destination, {Duration.Format(export.Settings.LateAfter!.Value)} after its end (late_after). See `exporter run list --export {export.Name}`."),
                cancellationToken).ConfigureAwait(false);
            return true;
        },
        cancellationToken);
}
