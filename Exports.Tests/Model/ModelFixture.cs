using System.Text.Json.Nodes;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

/// <summary>A destination and an hourly export, as most tests of the stores need them.</summary>
internal static class ModelFixture
{
    public const string Secret = "hunter2-is-no-secret-key";

    public static DateTimeOffset Day { get; } = new(2026, 3, 1, 0, 0, 0, TimeSpan.Zero);

    public static DataInterval Hour(int number) => new(Day.AddHours(number), Day.AddHours(number + 1));

    public static Destination Bucket(string name = "bucket") => new()
    {
        Name = name,
        Kind = "s3",
        Settings = new JsonObject { ["bucket"] = "events", ["parts"] = 4, ["path_style"] = true },
        Secrets = new Dictionary<string, string> { ["secret_key"] = Secret },
    };

    public static BatchExport Hourly(string name = "hourly") => new()
    {
        Name = name,
        DestinationId = Guid.Empty,
        Model = new SourceModel { Table = "events", CursorColumn = "timestamp", KeyColumns = ["uuid"], Dedup = Dedup.LimitBy },
        Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) },
        Paused = true,
        Note = "by a test",
    };

    public static async Task<BatchExportView> NewHourlyAsync(TestDatabase database)
    {
        await database.Destinations.CreateAsync(Bucket(), "tester");
        return await database.Exports.CreateAsync(Hourly(), "bucket", "tester");
    }

    public static Slice Slice(DataInterval range, int number, long rows) => new() { Number = number, Range = range, ExpectedRows = rows };

    public static SliceReceipt Receipt(int slice, long rows) =>
        new() { Slice = slice, Rows = rows, Bytes = rows * 10, File = $"slice-{slice}.parquet", Sha256 = new string('a', 64) };

    /// <summary>Plays a run's writes, as the workflow makes them.</summary>
    public static async Task CompleteAsync(TestDatabase database, Guid runId, BatchExportView export, DataInterval interval, long rows = 7)
    {
        await database.InTransactionAsync(async transaction =>
        {
            await database.Runs.BeginAsync(transaction, runId, new ExportInput { BatchExportId = export.BatchExportId }, null, default);
            await database.Runs.PlanAsync(transaction, runId, [Slice(interval, 0, rows)], null, default);
        });
        await database.InTransactionAsync(transaction => database.Runs.CommitSliceAsync(transaction, runId, Receipt(0, rows), 100, 1, 1, default));
        await database.InTransactionAsync(transaction => database.Runs.FinishAsync(transaction, runId, export.BatchExportId, 0, default));
        await FinishInEngineAsync(database, runId, "completed");
    }

    /// <summary>Ends a run in the engine's tables; no worker is needed for what is tested here.</summary>
    public static Task FinishInEngineAsync(TestDatabase database, Guid runId, string state) => database.ExecuteAsync(
        """
        with gone as (delete from engine.live_run where run_id = @runId returning run_id, epoch)
        insert into engine.outcome (run_id, state, epoch, output, error)
        select run_id, @state::engine.run_state, epoch,
          case when @state = 'completed' then ''::bytea end, case when @state <> 'completed' then 'by a test' end from gone
        """,
        new { runId, state });
}
