using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Destinations;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Workers die and freeze at chosen points of a slice's way into a destination; then the rows are counted where they lie.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DestinationKillTests
{
    private const int Killed = 128 + 9;
    private const int Rows = 20_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private PostgresServer _postgres = null!;
    private LocalClickHouse _clickHouse = null!;
    private IChaosTarget? _target;
    private string _source = null!;
    private string _table = null!;
    private string _output = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _postgres = await PostgresServer.NewAsync();
        _clickHouse = await TestServers.ClickHouseAsync();
        _target = null;
        var name = "chaos" + Guid.NewGuid().ToString("N");
        _source = await _clickHouse.CreateDatabaseAsync(name);
        _table = name + ".events";
        _output = Directory.CreateTempSubdirectory("exporter-kills-").FullName;
    }

    [TearDown]
    public async Task EndAsync()
    {
        await (_target?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _postgres.DisposeAsync();
        await _database.DisposeAsync();
        Directory.Delete(_output, recursive: true);
    }

    [TestCase("postgres", nameof(DestinationMoment.Written))]
    [TestCase("postgres", nameof(DestinationMoment.Committing))]
    [TestCase("postgres", nameof(DestinationMoment.Committed))]
    [TestCase("azure-blob", nameof(DestinationMoment.Committed))]
    [TestCase("s3", nameof(DestinationMoment.Committed))]
    [TestCase("files", nameof(DestinationMoment.Committed))]
    public async Task Every_row_is_there_once_after_a_worker_was_killed_when_a_slice_was(string destination, string moment)
    {
        var runId = await StartRunAsync(destination);
        await using (var doomed = StartWorker($"{moment}:3:KILL"))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        // Of the two slices at once the other one may have been committed there and not written down here.
        var unknown = await ThereAsync(destination) - await CommittedAsync();
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(unknown, moment == nameof(DestinationMoment.Committed) ? Is.InRange(1, 2) : Is.InRange(0, 1));
        Assert.That(await FoundAsync(), Is.GreaterThanOrEqualTo(unknown), "what was committed is found, also what the server did when the worker was dead");
        Assert.That(
            await _database.ScalarAsync<long>("select count(*) from exports.slice_attempts where state = 'committed' and source_bytes = 0 and sent_bytes = 0"),
            Is.EqualTo(await FoundAsync()),
            "and neither read nor sent again");
        Assert.That(
            await _database.ScalarAsync<long>(
                """
                select coalesce(sum(resent_bytes), 0) from exports.slices s
                where exists (select from exports.slice_attempts a where (a.run_id, a.slice) = (s.run_id, s.slice) and a.state = 'committed' and a.source_bytes = 0)
                """),
            Is.Zero,
            "nor counted so");
    }

    [TestCase("postgres", nameof(DestinationMoment.Written))]
    [TestCase("postgres", nameof(DestinationMoment.Committed))]
    [TestCase("azure-blob", nameof(DestinationMoment.Written))]
    [TestCase("s3", nameof(DestinationMoment.Written))]
    [TestCase("files", nameof(DestinationMoment.Written))]
    public async Task A_worker_frozen_in_mid_slice_that_wakes_after_another_has_finished_adds_no_row(string destination, string moment)
    {
        var runId = await StartRunAsync(destination);
        await using var zombie = StartWorker($"{moment}:3:STOP");
        await Eventually.TrueAsync(async () => await CommittedAsync() >= 1, "a slice is committed");
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        await zombie.SignalAsync("CONT");
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from engine.workers where state = 'active'") == 2, "it has registered again");
        await ExpectEveryRowOnceAsync(runId);
    }

    [Test]
    public async Task Every_row_is_in_PostgreSQL_once_after_the_answer_to_a_commit_was_lost()
    {
        await using var proxy = FaultProxy.Start(_postgres.Parts.Port);
        var trap = new FaultTrap(FaultMoment.AnswerLost, "copy ", "_exporter_commits", "COMMIT");
        proxy.Set(trap);
        var runId = await StartRunAsync("postgres", proxy.Port);
        await using var worker = StartWorker();
        await trap.Sprung.WaitAsync(TimeSpan.FromSeconds(60));
        trap.Release();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(await FoundAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_commit_that_forgets_what_was_committed_is_found_by_the_count()
    {
        var runId = await StartRunAsync("postgres");
        await using (var doomed = StartWorker($"{nameof(DestinationMoment.Committed)}:3:KILL", forgetful: true))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker(forgetful: true);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        Assert.That(await _postgres.ScalarAsync<long>("select count(*) from events"), Is.GreaterThan(Rows));
    }

    private ChaosProcess StartWorker(string? death = null, bool forgetful = false) => ChaosProcess.StartLogged(
        null,
        new Dictionary<string, string> { [MortalDestination.DeathVariable] = death ?? "", [MortalDestination.ForgetfulVariable] = forgetful ? "1" : "" },
        _database.ConnectionString,
        _source,
        _database.Key);

    private Task<long> CommittedAsync() => _database.ScalarAsync<long>("select count(*) from exports.slices where state = 'committed'");

    /// <summary>How many slices are committed at the destination, whether anybody knows or not.</summary>
    private async Task<long> ThereAsync(string destination)
    {
        if (destination == "postgres")
        {
            return await _postgres.ScalarAsync<long>("select count(*) from _exporter_commits where committed_at is not null");
        }

        await _target!.FetchAsync("events", _output);
        return Directory.GetFiles(_output, "slice-*.jsonl", SearchOption.AllDirectories).Length;
    }

    private Task<long> FoundAsync() => _database.ScalarAsync<long>("select count(*) from engine.run_log where message like '%was committed by an earlier attempt%'");

    private async Task<Guid> StartRunAsync(string kind, int? port = null)
    {
        // Where blocks are of a megabyte at least, slices are of several.
        var hashes = kind == "azure-blob" ? 128 : 1;
        await _clickHouse.ExecuteAsync($"CREATE TABLE {_table} (id UInt64, timestamp DateTime64(6, 'UTC'), text String) ENGINE = MergeTree ORDER BY (timestamp, id)");
        await _clickHouse.ExecuteAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"INSERT INTO {_table} SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 4320), arrayStringConcat(arrayMap(i -> hex(cityHash64(number, i)), range({hashes}))) FROM numbers({Rows})"));
        _target = await ChaosTargets.OpenAsync(kind, new ChaosServers(TestServers.S3Async, TestServers.AzuriteAsync, () => Task.FromResult(_postgres.Parts.ConnectionString)), seed: 1);
        var destination = await _target.MakeAsync("events", _output);
        if (port is { } other)
        {
            destination.Settings["port"] = other;
        }

        await _database.Destinations.CreateAsync(destination, "tester");
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel { Table = _table, CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] },
                Format = new FormatOptions { Format = FileFormat.JsonLines, Compression = Compression.None },
                Settings = new ExportSettings { TargetSliceBytes = (40 + (16 * hashes)) * Rows / 20, ParallelSlices = 2 },
            },
            "events",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        await _target!.FetchAsync("events", _output);
        const string Sums = "SELECT count(), uniqExact(id), sum(cityHash64(id, text)) FROM";
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.EqualTo("completed"));
        Assert.That(
            await _clickHouse.ExecuteAsync($"{Sums} file('{_output}/{(_target.HasManifest ? "**/*.jsonl" : "rows.jsonl")}', 'JSONEachRow', 'id UInt64, text String')"),
            Is.EqualTo(await _clickHouse.ExecuteAsync($"{Sums} {_table}")),
            "every row once");
        Assert.That(await _database.ScalarAsync<long>("select exported_rows from exports.runs"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(10), "many slices, or nothing is shown");
    }
}
