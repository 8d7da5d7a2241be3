using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Destinations;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Workers die and freeze in the middle of an export to PostgreSQL; then SQL counts the rows.</summary>
public sealed class PostgresKillTests
{
    private const int Killed = 128 + 9;
    private const int Rows = 20_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private PostgresServer _target = null!;
    private LocalClickHouse _clickHouse = null!;
    private string _source = null!;
    private string _table = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _target = await PostgresServer.NewAsync();
        _clickHouse = await TestServers.ClickHouseAsync();
        var name = "chaos" + Guid.NewGuid().ToString("N");
        _source = await _clickHouse.CreateDatabaseAsync(name);
        _table = name + ".events";
        await _clickHouse.ExecuteAsync($"CREATE TABLE {_table} (id UInt64, timestamp DateTime64(6, 'UTC'), text String, uuid UUID) ENGINE = MergeTree ORDER BY (timestamp, id)");
        await _clickHouse.ExecuteAsync(
            $"INSERT INTO {_table} SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 4320), hex(cityHash64(number)), generateUUIDv4() FROM numbers({Rows})");
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _target.DisposeAsync();
        await _database.DisposeAsync();
    }

    [TestCase(nameof(DestinationMoment.Opened))]
    [TestCase(nameof(DestinationMoment.Written))]
    [TestCase(nameof(DestinationMoment.Committing))]
    [TestCase(nameof(DestinationMoment.Committed))]
    public async Task Every_row_is_in_PostgreSQL_once_after_a_worker_was_killed_when_a_slice_was(string moment)
    {
        var runId = await StartRunAsync();
        await using (var doomed = StartWorker($"{moment}:3:KILL"))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        // Of the two slices at once the other one may have been committed there and not written down here.
        var unknown = await _target.ScalarAsync<long>("select count(*) from _exporter_commits where committed_at is not null") - await CommittedAsync();
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(
            await _database.ScalarAsync<long>("select count(*) from engine.run_log where message like '%was committed by an earlier attempt%'"),
            Is.EqualTo(unknown),
            "what was committed is found, not copied again");
        Assert.That(unknown, moment == nameof(DestinationMoment.Committed) ? Is.InRange(1, 2) : Is.InRange(0, 1));
    }

    [TestCase(nameof(WorkerMoment.Checkpointed), "slice", 3)]
    [TestCase(nameof(WorkerMoment.StepRecorded), "finish", 1)]
    public async Task Every_row_is_in_PostgreSQL_once_after_a_worker_was_killed_at(string moment, string step, int times)
    {
        var runId = await StartRunAsync();
        await using (var doomed = ChaosProcess.Start(_database.ConnectionString, _source, _database.Key, moment, step, times.ToString(CultureInfo.InvariantCulture)))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
    }

    [TestCase(nameof(DestinationMoment.Written))]
    [TestCase(nameof(DestinationMoment.Committed))]
    public async Task A_worker_frozen_in_mid_slice_that_wakes_after_another_has_finished_adds_no_row(string moment)
    {
        var runId = await StartRunAsync();
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
        await using var proxy = FaultProxy.Start(_target.Parts.Port);
        var trap = new FaultTrap(FaultMoment.AnswerLost, "copy ", "_exporter_commits", "COMMIT");
        proxy.Set(trap);
        var runId = await StartRunAsync(("port", proxy.Port));
        await using var worker = StartWorker();
        await trap.Sprung.WaitAsync(TimeSpan.FromSeconds(60));
        trap.Release();
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.run_log where message like '%was committed by an earlier attempt%'"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_commit_that_is_broken_on_purpose_is_found_by_the_count()
    {
        var runId = await StartRunAsync();
        await using (var doomed = StartWorker($"{nameof(DestinationMoment.Committed)}:3:KILL", forgetful: true))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker(forgetful: true);
        await EndedAsync(runId);
        Assert.That(await _target.ScalarAsync<long>("select count(*) from events"), Is.GreaterThan(Rows));
        Assert.That(await SumsOfTargetAsync(), Is.Not.EqualTo(await SumsOfSourceAsync()));
    }

    private ChaosProcess StartWorker(string? death = null, bool forgetful = false) => ChaosProcess.StartLogged(
        null,
        new Dictionary<string, string> { [MortalDestination.DeathVariable] = death ?? "", [MortalDestination.ForgetfulVariable] = forgetful ? "1" : "" },
        _database.ConnectionString,
        _source,
        _database.Key);

    private Task<long> CommittedAsync() => _database.ScalarAsync<long>("select count(*) from exports.slices where state = 'committed'");

    private async Task<Guid> StartRunAsync(params (string, object?)[] settings)
    {
        await _database.Destinations.CreateAsync(_target.Configured(settings), "tester");
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel { Table = _table, CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] },
                Settings = new ExportSettings { TargetSliceBytes = 60 * Rows / 20, ParallelSlices = 2 },
            },
            "postgres",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task EndedAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.EqualTo("completed"));
    }

    private Task<string> SumsOfSourceAsync() => _clickHouse.ExecuteAsync(
        $"SELECT concat(toString(count()), '|', toString(sum(id)), '|', lower(hex(MD5(arrayStringConcat(groupArray(concat(text, toString(uuid), formatDateTime(timestamp, '%Y-%m-%d %H:%i:%S')))))))) FROM (SELECT * FROM {_table} ORDER BY id)");

    private async Task<string> SumsOfTargetAsync() => (await _target.ScalarAsync<string>(
        "select concat_ws('|', count(*), sum(id), md5(string_agg(text || uuid::text || to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '' order by id))) from events"))!;

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        await EndedAsync(runId);
        Assert.That(await SumsOfTargetAsync(), Is.EqualTo(await SumsOfSourceAsync()), "every row once");
        Assert.That(await _database.ScalarAsync<long>("select exported_rows from exports.runs"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(10), "many slices, or nothing is shown");
        Assert.That(
            await _target.ListAsync<string>(
                """
                select c.slice || ': ' || c.rows || ' and ' || count(e._exporter_commit)
                from _exporter_commits c left join events e on e._exporter_commit = c.commit_id
                group by c.slice, c.rows having count(e._exporter_commit) <> c.rows
                """),
            Is.Empty,
            "as the documentation's query says");
    }
}
