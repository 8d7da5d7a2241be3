using System.Globalization;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>What the runs of an export may plan in a day by UTC: a run that would be more is stopped before it moves anything.</summary>
internal sealed class DayBudget(NpgsqlDataSource data)
{
    private readonly ExportDatabase _database = new(data, "sql/runs.sql");
    private readonly ExportDatabase _exports = new(data, "sql/batch_exports.sql");

    /// <summary>Looks at what is left for a run, in the transaction that records its plan next.</summary>
    /// <exception cref="UserErrorException">The day has not enough left.</exception>
    public async Task CheckAsync(
        NpgsqlTransaction transaction, Guid runId, BatchExport export, long rows, long? bytes, CancellationToken cancellationToken)
    {
        var (mostRows, mostBytes) = (export.Settings.MaxRowsPerDay, export.Settings.MaxBytesPerDay);
        if (mostRows is null && mostBytes is null)
        {
            return;
        }

        // Runs of one export take their share one after another.
        await BatchExportStore.LockAsync(_exports, transaction, export.Id, export.Name, cancellationToken).ConfigureAwait(false);
        var day = (await _database.FirstAsync<Day>(
            transaction, "PlannedToday", new { RunId = runId, BatchExportId = export.Id }, cancellationToken).ConfigureAwait(false))!;
        Check("max_rows_per_day", "rows", mostRows, day.Rows, rows);
        Check("max_bytes_per_day", "bytes in the source", mostBytes, day.Bytes, bytes ?? 0);

        void Check(string setting, string what, long? most, long taken, long wanted)
        {
            if (taken + wanted > most)
            {
                throw new UserErrorException(
                    setting,
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"The run was not begun: it has {wanted:N0} {what}, and of the {most:N0} that {export.Name} may export on {day.Date:yyyy-MM-dd} (UTC) {taken:N0} are taken."),
                    wanted > most
                        ? "It will never fit; raise the budget with `exporter export edit`, and retry the run."
                        : "Retry the run tomorrow, or raise the budget with `exporter export edit` and retry it now.");
            }
        }
    }

    private sealed class Day
    {
        public DateTime Date { get; init; }

        public long Rows { get; init; }

        public long Bytes { get; init; }
    }
}
