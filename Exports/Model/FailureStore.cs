using System.Text.RegularExpressions;
using Exporter.Exports.Notifications;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Runs that failed for good, for <c>exports.failures</c>: what is tried again by itself is not among them.</summary>
internal sealed partial class FailureStore(NpgsqlDataSource data, NotificationOutbox outbox)
{
    private readonly ExportDatabase _database = new(data, "sql/failures.sql");
    private readonly ExportDatabase _exports = new(data, "sql/batch_exports.sql");

    /// <summary>Records a failure, and that the export is failing; again is no harm.</summary>
    /// <returns>Whether the latest intervals of the export, so many of them, have all failed since somebody changed it.</returns>
    public async Task<bool> RecordAsync(Guid runId, RunOrder order, string error, int inARow, CancellationToken cancellationToken)
    {
        var setting = Setting().Match(error) is { Success: true } match ? match.Groups[1].Value : null;
        var id = order.Export.Id;
        return await _database.InTransactionAsync(
            async transaction =>
            {
                // Also of an export that was deleted: the failure is history, and nobody is told.
                var there = await _exports.FirstAsync<bool>(transaction, "LockBatchExport", new { Id = id }, cancellationToken).ConfigureAwait(false);
                var recorded = await _database.ExecuteAsync(
                    transaction, "RecordFailure", new { RunId = runId, Setting = setting, Error = error }, cancellationToken).ConfigureAwait(false);
                if (there && recorded == 1)
                {
                    await outbox.BeginAsync(
                        transaction, TroubleKind.Failing, new(id, order.Interval, runId, error, setting), cancellationToken).ConfigureAwait(false);
                }

                return inARow > 0 && await _database.FirstAsync<bool>(
                    transaction, "FailsInARow", new { BatchExportId = id, Limit = inARow }, cancellationToken).ConfigureAwait(false);
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The run is completed; in the transaction that says so, which has locked the export.</summary>
    public async Task MendAsync(NpgsqlTransaction transaction, Guid runId, RunOrder order, CancellationToken cancellationToken)
    {
        await _database.ExecuteAsync(transaction, "MendFailure", new { RunId = runId }, cancellationToken).ConfigureAwait(false);
        await outbox.EndAsync(transaction, order.Export.Id, order.Interval, runId, cancellationToken).ConfigureAwait(false);
    }

    // As UserErrorException says it.
    [GeneratedRegex(@" Setting: (\w+)\.")]
    private static partial Regex Setting();
}
