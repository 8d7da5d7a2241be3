using System.Text.RegularExpressions;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Runs that failed for good, for <c>exports.failures</c>: what is tried again by itself is not among them.</summary>
internal sealed partial class FailureStore(NpgsqlDataSource data)
{
    private readonly ExportDatabase _database = new(data, "sql/failures.sql");

    /// <summary>Records a failure; again is no harm.</summary>
    /// <returns>Whether the latest intervals of the export, so many of them, have all failed since somebody changed it.</returns>
    public async Task<bool> RecordAsync(Guid runId, Guid batchExportId, string error, int inARow, CancellationToken cancellationToken)
    {
        var setting = Setting().Match(error) is { Success: true } match ? match.Groups[1].Value : null;
        await _database.ExecuteAsync("RecordFailure", new { RunId = runId, Setting = setting, Error = error }, cancellationToken).ConfigureAwait(false);
        return inARow > 0 && await _database.FirstAsync<bool>(
            "FailsInARow", new { BatchExportId = batchExportId, Limit = inARow }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The run is completed after all; in the transaction that says so.</summary>
    public Task MendAsync(NpgsqlTransaction transaction, Guid runId, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(transaction, "MendFailure", new { RunId = runId }, cancellationToken);

    // As UserErrorException says it.
    [GeneratedRegex(@" Setting: (\w+)\.")]
    private static partial Regex Setting();
}
