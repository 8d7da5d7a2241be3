using System.Text.Json.Nodes;
using Exporter.Engine;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests;
using Exporter.Engine.Workers;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Exporter.Exports.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Whole runs: from a table in ClickHouse to files, which ClickHouse then reads and counts.</summary>
public sealed class ExportWorkflowTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DataInterval Day = new(Start, Start.AddDays(1));

    private LocalClickHouse _server = null!;
    private string _connection = null!;
    private string _table = null!;
    private string _folder = null!;
    private TestDatabase _database = null!;
    private IHost? _host;

    [SetUp]
    public async Task MakeSourceAsync()
    {
        _server = await TestServers.ClickHouseAsync();
        _connection = await _server.CreateDatabaseAsync();
        _table = _connection[(_connection.IndexOf("Database=", StringComparison.Ordinal) + 9)..] + ".t";
        _folder = Directory.CreateTempSubdirectory("exporter-run-").FullName;
        _database = await TestDatabase.NewAsync();
        await _server.ExecuteAsync(
            $"CREATE TABLE {_table} (ts DateTime64(6, 'UTC'), id UInt64, uuid UUID, v UInt32, text Nullable(String)) ENGINE = MergeTree ORDER BY ts");
        await _server.ExecuteAsync(
            $"""
            INSERT INTO {_table} SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 4000), number % 15000,
              generateUUIDv4(), number, if(number % 7 = 0, NULL, 'ä' || number) FROM numbers(20000)
            """);
    }

    [TearDown]
    public async Task RemoveAsync()
    {
        await (_host?.StopAsync() ?? Task.CompletedTask);
        _host?.Dispose();
        _host = null;

        await _database.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public async Task An_own_query_is_exported_once_and_asks_for_the_whole_interval_in_every_slice()
    {
        await StartAsync();
        var run = await RunAsync(Export(Dedup.None) with
        {
            Model = new SourceModel
            {
                Query = "SELECT id, count() AS times, max(ts) AS last FROM t WHERE ts >= {interval_start:DateTime64(6)} AND ts < {interval_end:DateTime64(6)} GROUP BY id",
                CursorColumn = "last",
                KeyColumns = ["id"],
                Where = [ConditionText.Condition("id less 10000")],
            },
            Settings = new ExportSettings { TargetSliceBytes = 20_000 },
        });
        Assert.That((run.State, run.ExportedRows, run.ExpectedRows, run.LateRows), Is.EqualTo(("completed", 10_000L, (long?)10_000L, (long?)0L)), run.Error);
        Assert.That(run.Slices, Is.GreaterThan(5));
        Assert.That(
            await _server.ExecuteAsync($"SELECT count(), uniqExact(id), sum(times) FROM file('{_folder}/**/*.parquet', 'Parquet')"),
            Is.EqualTo("10000\t10000\t15000"), "the first 5,000 are there twice, far apart");
    }

    [TestCase(FileFormat.Parquet, Dedup.None, 20000)]
    [TestCase(FileFormat.Parquet, Dedup.LimitBy, 15000)]
    [TestCase(FileFormat.JsonLines, Dedup.None, 20000)]
    public async Task Every_row_of_the_interval_is_in_the_files_once(FileFormat format, Dedup dedup, int expected)
    {
        await StartAsync();
        var run = await RunAsync(Export(dedup) with { Format = new FormatOptions { Format = format, RowGroupRows = 1000 } });
        Assert.That(run.State, Is.EqualTo("completed"), run.Error);
        Assert.That((run.ExportedRows, run.ExpectedRows, run.LateRows), Is.EqualTo(((long)expected, (long?)expected, (long?)0)));
        Assert.That(run.Slices, Is.GreaterThan(3).And.EqualTo(run.SlicesCommitted));
        var (files, kind) = format == FileFormat.Parquet ? ("**/*.parquet", "Parquet") : ("**/*.jsonl.zst", "JSONEachRow");
        // One of each key, in its newest version, and the very same values as in the table.
        Assert.That(
            await _server.ExecuteAsync($"SELECT count(), uniqExact(id, v), sum(v) FROM file('{_folder}/{files}', '{kind}')"),
            Is.EqualTo(await _server.ExecuteAsync(
                $"SELECT count(), uniqExact(id, v), sum(v) FROM (SELECT * FROM {_table} {(dedup == Dedup.None ? "" : "ORDER BY v DESC LIMIT 1 BY id")})")));
        Assert.That(
            await _server.ExecuteAsync(
                $"SELECT count() FROM file('{_folder}/{files}', '{kind}', 'id UInt64, uuid String, v UInt32, text Nullable(String)') WHERE (id, uuid, v, ifNull(text, '-')) IN (SELECT id, toString(uuid), v, ifNull(text, '-') FROM {_table})"),
            Is.EqualTo($"{expected}"));
        Assert.That(
            await _database.ScalarAsync<long>("select rows from exports.coverage"), Is.EqualTo(expected));
        Assert.That(
            await _database.ScalarAsync<long>(
                "select count(*) from exports.slice_attempts a join exports.slices s using (run_id, slice) where a.state = 'committed' and a.sent_bytes = s.bytes and a.rows = s.rows"),
            Is.EqualTo(run.SlicesCommitted), "what each attempt has sent is what lies there");
    }

    [Test]
    public async Task An_interval_exported_again_leaves_its_rows_there_once()
    {
        await StartAsync();
        var export = Export(Dedup.None);
        await RunAsync(export);
        await _server.ExecuteAsync($"INSERT INTO {_table} SELECT ts, id + 100000, uuid, v + 100000, text FROM {_table} LIMIT 500");
        var again = await RunAsync(export, create: false);
        Assert.That(again.ExportedRows, Is.EqualTo(20500));
        Assert.That(await _server.ExecuteAsync($"SELECT count(), uniqExact(id, v) FROM file('{_folder}/**/*.parquet', 'Parquet')"), Is.EqualTo("20500\t20500"));
    }

    [Test]
    public async Task An_error_of_the_user_stops_the_run_and_names_the_setting()
    {
        await StartAsync();
        var export = Export(Dedup.None);
        var run = await RunAsync(export with { Model = export.Model with { CursorColumn = "inserted" } });
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(run.Error, Does.Contain("Setting: cursor_column").And.Contain("failed after 1 attempt:"));
    }

    [Test]
    public async Task Rows_that_come_between_plan_and_slices_are_exported_and_counted_as_late()
    {
        var host = await StartAsync();
        On(host, WorkerMoment.StepRecorded, "plan", () => AddLateRowsAsync(30));
        var run = await RunAsync(Export(Dedup.None));
        Assert.That(run.State, Is.EqualTo("completed"), run.Error);
        Assert.That((run.ExpectedRows, run.ExportedRows, run.LateRows), Is.EqualTo(((long?)20000, 20030L, (long?)30)));
        Assert.That(await _server.ExecuteAsync($"SELECT count() FROM file('{_folder}/**/*.parquet', 'Parquet')"), Is.EqualTo("20030"));
    }

    [Test]
    public async Task A_query_that_is_killed_in_mid_stream_is_tried_again_and_its_rows_come_once()
    {
        await StartAsync();
        var export = Export(Dedup.None);
        var running = RunAsync(export with
        {
            Model = export.Model with { Columns = [new("id", "id"), new("v", "v"), new("sleepEachRow(0.001)", "slow")] },
            Settings = export.Settings with { TargetSliceBytes = 20_000 },
        });
        await Eventually.TrueAsync(
            async () =>
            {
                await _server.ExecuteAsync($"KILL QUERY WHERE query_id LIKE 'exporter-%' AND query_id NOT LIKE '%-plan-%' AND current_database = '{_table.Split('.')[0]}' AND elapsed > 0.1 SYNC");
                return await _database.ScalarAsync<long>("select count(*) from engine.attempts where state = 'failed' and error like '%394%'") > 0;
            },
            "an attempt was killed");
        var run = await running;
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", 20000L)), run.Error);
        Assert.That(await _server.ExecuteAsync($"SELECT count(), uniqExact(id, v) FROM file('{_folder}/**/*.parquet', 'Parquet')"), Is.EqualTo("20000\t20000"));
        Assert.That(await _database.ScalarAsync<int>("select max(attempt) from exports.slices"), Is.GreaterThan(1));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slice_attempts where state = 'failed'"), Is.GreaterThan(0));
    }

    [Test]
    public async Task A_destination_that_cannot_be_opened_is_the_users_to_mend()
    {
        await StartAsync();
        var run = await RunAsync(Export(Dedup.None), new JsonObject { ["root"] = "not/absolute" });
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(run.Error, Does.Contain("Setting: root"));
    }

    // In the cursor's middle, so that they belong to a slice that the plan has.
    private Task AddLateRowsAsync(int rows) => _server.ExecuteAsync(
        $"INSERT INTO {_table} SELECT toDateTime64('2026-11-01 12:00:00', 6, 'UTC'), 1000000 + number, generateUUIDv4(), 1000000 + number, 'late' FROM numbers({rows})");

    // Blocks the worker there until it is done; only the first time.
    private static void On(IHost host, WorkerMoment moment, string step, Func<Task> body)
    {
        var signals = host.Services.GetRequiredService<WorkerSignals>();
        var before = signals.Raised;
        var left = 1;
        signals.Raised = (raised, run, name) =>
        {
            before?.Invoke(raised, run, name);
            if (raised == moment && name == step && Interlocked.Decrement(ref left) == 0)
            {
                // The moment is a callback that cannot wait; the worker has threads enough for one that does.
                using var done = new ManualResetEventSlim();
                _ = Task.Run(async () =>
                {
                    try
                    {
                        await body();
                    }
                    finally
                    {
                        done.Set();
                    }
                });
                done.Wait();
            }
        };
    }

    private static BatchExport Export(Dedup dedup) => new()
    {
        Name = "daily",
        DestinationId = Guid.Empty,
        Model = new SourceModel { Table = "t", CursorColumn = "ts", KeyColumns = ["id"], VersionColumn = dedup == Dedup.None ? null : "v", Dedup = dedup },
        Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) },
        Settings = new ExportSettings { TargetSliceBytes = 200_000 },
        Paused = true,
        Note = "started by hand",
    };

    private async Task<IHost> StartAsync()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddWorkflowEngine(_database.ConnectionString, _database.Codec)
            .AddBatchExports(new ClickHouseOptions { ConnectionString = _connection })
            .AddWorker(ExportInput.Queue, new WorkerOptions { Slots = 2, PollInterval = TimeSpan.FromMilliseconds(100) });
        _host = builder.Build();
        await _host.StartAsync();
        return _host;
    }

    private async Task<RunView> RunAsync(BatchExport export, JsonObject? settings = null, bool create = true)
    {
        if (create)
        {
            await _database.Destinations.CreateAsync(
                new Destination { Name = "folder", Kind = "files", Settings = settings ?? new JsonObject { ["root"] = _folder } }, "tester");
            await _database.Exports.CreateAsync(export, "folder", "tester");
        }

        var runId = await _database.Control.StartAsync(await _database.Exports.GetAsync(export.Name), Day, "tester");
        RunView run = null!;
        await Eventually.TrueAsync(
            async () => (run = await _database.Runs.GetAsync(runId)).State is "completed" or "failed" or "cancelled", "the run has ended", 90);
        return run;
    }
}
