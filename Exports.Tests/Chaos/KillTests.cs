using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Workers die in the middle of an export; then ClickHouse counts what lies in the files.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class KillTests
{
    private const int Killed = 128 + 9;
    private const int Rows = 20_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private LocalClickHouse _clickHouse = null!;
    private string _source = null!;
    private string _table = null!;
    private string _output = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _clickHouse = await TestServers.ClickHouseAsync();
        var name = "chaos" + Guid.NewGuid().ToString("N");
        _source = await _clickHouse.CreateDatabaseAsync(name);
        _table = name + ".events";
        _output = Directory.CreateTempSubdirectory("exporter-chaos-").FullName;
        await _clickHouse.ExecuteAsync($"CREATE TABLE {_table} (id UInt64, timestamp DateTime64(6, 'UTC'), text String, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY (timestamp, id)");
        await _clickHouse.ExecuteAsync($"SYSTEM STOP MERGES {_table}");
        foreach (var (version, where) in new[] { (1, "1"), (2, "number % 20 = 3") })
        {
            await _clickHouse.ExecuteAsync(
                $"INSERT INTO {_table} SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 4320), hex(cityHash64(number)), {version} FROM numbers({Rows}) WHERE {where}");
        }
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _database.DisposeAsync();
        Directory.Delete(_output, recursive: true);
    }

    [TestCase(nameof(WorkerMoment.Claimed), "", 1)]
    [TestCase(nameof(WorkerMoment.StepRecorded), "plan", 1)]
    [TestCase(nameof(WorkerMoment.AttemptStarted), "slice", 3)]
    [TestCase(nameof(WorkerMoment.Checkpointed), "slice", 3)]
    [TestCase(nameof(WorkerMoment.StepRecorded), "slice", 5)]
    [TestCase(nameof(WorkerMoment.AttemptStarted), "finish", 1)]
    [TestCase(nameof(WorkerMoment.StepRecorded), "finish", 1)]
    [TestCase(nameof(WorkerMoment.CodeEnded), "", 1)]
    public async Task Every_row_is_there_once_after_a_worker_was_killed_at(string moment, string step, int times)
    {
        var runId = await StartRunAsync();
        await using (var doomed = StartWorker(moment, step, times.ToString(CultureInfo.InvariantCulture)))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(await _database.ScalarAsync<long>("select epoch from exports.runs"), Is.GreaterThan(1), "it was claimed again");
    }

    [Test]
    public async Task Every_row_is_there_once_after_a_worker_was_killed_during_shutdown()
    {
        var runId = await StartRunAsync();
        await using (var doomed = StartWorker(nameof(WorkerMoment.Stopping), "", "1"))
        {
            await Eventually.TrueAsync(async () => await CommittedAsync() >= 2, "two slices are committed");
            await doomed.SignalAsync("TERM");
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
    }

    [Test]
    public async Task A_worker_frozen_past_its_lease_adds_nothing_when_it_goes_on()
    {
        var runId = await StartRunAsync();
        await using var zombie = StartWorker();
        await Eventually.TrueAsync(async () => await CommittedAsync() >= 2, "two slices are committed");
        await zombie.SignalAsync("STOP");
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        await zombie.SignalAsync("CONT");
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from engine.workers where state = 'active'") == 2, "it has registered again");
        await ExpectEveryRowOnceAsync(runId);
    }

    [Test]
    public async Task A_worker_that_stops_keeps_what_is_committed_and_another_goes_on_at_once()
    {
        var runId = await StartRunAsync();
        await using (var stopped = StartWorker())
        {
            await Eventually.TrueAsync(async () => await CommittedAsync() >= 2, "two slices are committed");
            await stopped.SignalAsync("TERM");
            Assert.That(await stopped.ExitAsync(), Is.Zero);
        }

        var committed = await CommittedAsync();
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.AnyOf("queued", "completed"));
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices where epoch = 1"), Is.EqualTo(committed), "none was done again");
    }

    [Test]
    public async Task A_run_outlives_the_death_of_ClickHouse_in_the_middle_of_a_stream()
    {
        await using var mortal = await LocalClickHouse.StartAsync();
        await mortal.ExecuteAsync($"CREATE DATABASE {_table.Split('.')[0]}");
        await mortal.ExecuteAsync($"CREATE TABLE {_table} (id UInt64, timestamp DateTime64(6, 'UTC'), text String, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY (timestamp, id)");
        await mortal.ExecuteAsync(
            $"INSERT INTO {_table} SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 4320), hex(cityHash64(number)), 1 FROM numbers({Rows})");
        var runId = await StartRunAsync();
        await using var worker = ChaosProcess.Start(_database.ConnectionString, mortal.Of(_table.Split('.')[0]), _database.Key);
        await Eventually.TrueAsync(async () => await CommittedAsync() >= 2, "two slices are committed");
        await mortal.KillAsync();
        await mortal.StartAsync();
        await ExpectEveryRowOnceAsync(runId, mortal);
    }

    private ChaosProcess StartWorker(params string[] death) => ChaosProcess.Start([_database.ConnectionString, _source, _database.Key, .. death]);

    private Task<long> CommittedAsync() => _database.ScalarAsync<long>("select count(*) from exports.slices where state = 'committed'");

    private async Task<Guid> StartRunAsync()
    {
        await _database.Destinations.CreateAsync(
            new Destination { Name = "files", Kind = "files", Settings = new JsonObject { ["root"] = _output } }, "tester");
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel
                {
                    Table = _table, CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"], VersionColumn = "version", Dedup = Dedup.LimitBy,
                },
                Settings = new ExportSettings { TargetSliceBytes = 40 * Rows / 20, ParallelSlices = 2 },
            },
            "files",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId, LocalClickHouse? source = null)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        const string Sums = "SELECT count(), sum(id), sum(cityHash64(text)), sum(version) FROM";
        var expected = await (source ?? _clickHouse).ExecuteAsync($"{Sums} {_table} FINAL");
        var files = await _clickHouse.ExecuteAsync($"{Sums} file('{_output}/**/*.parquet', 'Parquet')");
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.EqualTo("completed"));
        Assert.That(files, Is.EqualTo(expected), "every row once, the newest version");
        Assert.That(await _database.ScalarAsync<long>("select exported_rows from exports.runs"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(10), "many slices, or nothing is shown");
        Assert.That(Directory.EnumerateFiles(_output, "*", SearchOption.AllDirectories).Count(file => !file.EndsWith(".parquet", StringComparison.Ordinal) && !file.EndsWith("manifest.json", StringComparison.Ordinal)), Is.Zero, "nothing half-done is left");
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.coverage"), Is.EqualTo(1));
    }
}
