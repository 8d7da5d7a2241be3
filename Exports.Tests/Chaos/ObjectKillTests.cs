using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Whole runs to files and S3, whose worker dies or freezes inside the destination, where only the destination knows how far it is.</summary>
public sealed class ObjectKillTests
{
    private const int Killed = 128 + 9;
    private const int Rows = 4_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private LocalClickHouse _clickHouse = null!;
    private IChaosTarget _target = null!;
    private string _source = null!;
    private string _table = null!;
    private string _output = null!;

    [TearDown]
    public async Task EndAsync()
    {
        await _target.DisposeAsync();
        await _database.DisposeAsync();
        Directory.Delete(_output, recursive: true);
    }

    [TestCase("files")]
    [TestCase("s3")]
    public async Task Every_row_is_there_once_when_a_worker_dies_between_the_commit_there_and_its_record(string kind)
    {
        var runId = await StartRunAsync(kind);
        await using (var doomed = StartWorker(nameof(DestinationMoment.Committed), 3, "KILL"))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(await _database.ScalarAsync<long>("select epoch from exports.runs"), Is.GreaterThan(1), "it was claimed again");
    }

    [TestCase("files")]
    [TestCase("s3")]
    public async Task A_worker_that_is_frozen_in_the_middle_of_a_slice_changes_nothing_when_it_wakes_after_another_has_finished(string kind)
    {
        var runId = await StartRunAsync(kind);
        await using var zombie = StartWorker(nameof(DestinationMoment.Written), 4, "STOP");
        await Eventually.TrueAsync(() => Task.FromResult(IsStopped(zombie.Id)), "it has frozen itself");
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        var before = Snapshot();

        await zombie.SignalAsync("CONT");
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from engine.workers where state = 'active'") == 2, "it has registered again");
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(Snapshot(), Is.EqualTo(before), "not a byte is another");
    }

    private static bool IsStopped(int process) =>
        File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/stat")).Split(')')[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0] == "T";

    private ChaosProcess StartWorker(string moment = "", int times = 0, string signal = "") => ChaosProcess.StartLogged(
        null,
        new Dictionary<string, string> { [MortalDestination.DeathVariable] = moment.Length == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{moment}:{times}:{signal}") },
        _database.ConnectionString,
        _source,
        _database.Key);

    private async Task<Guid> StartRunAsync(string kind)
    {
        _database = await TestDatabase.NewAsync();
        _clickHouse = await TestServers.ClickHouseAsync();
        _output = Directory.CreateTempSubdirectory("exporter-objects-").FullName;
        _target = await ChaosTargets.OpenAsync(kind, TestServers.S3Async, seed: 1);
        var name = "objects" + Guid.NewGuid().ToString("N");
        _source = await _clickHouse.CreateDatabaseAsync(name);
        _table = name + ".events";
        await _clickHouse.ExecuteAsync($"CREATE TABLE {_table} (id UInt64, timestamp DateTime64(6, 'UTC'), text String) ENGINE = MergeTree ORDER BY (timestamp, id)");
        await _clickHouse.ExecuteAsync(
            $"INSERT INTO {_table} SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 21600), hex(cityHash64(number)) FROM numbers({Rows})");
        await _database.Destinations.CreateAsync((await _target.MakeAsync("events", _output)) with { Name = "target" }, "tester");
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel { Table = _table, CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] },
                Settings = new ExportSettings { TargetSliceBytes = 40 * Rows / 10, ParallelSlices = 2 },
            },
            "target",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        await _target.FetchAsync("events", _output);
        const string Sums = "SELECT count(), uniqExact(id), sum(cityHash64(id, text)) FROM";
        Assert.That(await _clickHouse.ExecuteAsync($"{Sums} file('{_output}/**/*.parquet', 'Parquet')"), Is.EqualTo(await _clickHouse.ExecuteAsync($"{Sums} {_table}")));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(5), "several slices, or nothing is shown");
        Assert.That(Directory.GetFiles(_output, "manifest.json", SearchOption.AllDirectories), Has.Length.EqualTo(1));
    }

    private string[] Snapshot() =>
        [.. Directory.GetFiles(_output, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(file => $"{file} {Destinations.SliceBytes.Sha256(File.ReadAllBytes(file))}")];
}
