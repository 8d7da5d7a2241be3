using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Workers die and freeze in the middle of an export to Snowflake's double; then SQL counts the rows in the tables that it loaded.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class SnowflakeKillTests
{
    private const int Rows = 4_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private SnowflakeServer _target = null!;
    private LocalClickHouse _clickHouse = null!;
    private string _source = null!;
    private string _table = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _target = await SnowflakeServer.StartAsync(await TestServers.S3Async());
        _clickHouse = await TestServers.ClickHouseAsync();
        var name = "chaos" + Guid.NewGuid().ToString("N");
        _source = await _clickHouse.CreateDatabaseAsync(name);
        _table = name + ".events";
        await _clickHouse.ExecuteAsync($"CREATE TABLE {_table} (id UInt64, timestamp DateTime64(6, 'UTC'), text String, props JSON) ENGINE = MergeTree ORDER BY (timestamp, id) SETTINGS index_granularity = 256");
        await _clickHouse.ExecuteAsync(
            $"INSERT INTO {_table} SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 21600), hex(cityHash64(number)), concat('{{\"n\":', toString(number), '}}') FROM numbers({Rows})");
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _target.DisposeAsync();
        await _database.DisposeAsync();
    }

    [TestCase("COPY", false)]
    [TestCase("COMMITTED_IN", true)]
    public async Task Every_row_is_in_Snowflake_once_after_a_worker_was_killed_in_the_midst_of(string statement, bool executed)
    {
        ChaosProcess? doomed = null;
        var killed = new TaskCompletionSource();
        var left = 2;
        _target.Fault = call => call.Text.Contains(statement, StringComparison.Ordinal) && Interlocked.Decrement(ref left) == 0
            ? new SnowflakeFault { Executes = executed, Waits = KillAsync() }
            : null;
        var runId = await StartRunAsync();
        doomed = StartWorker();
        await killed.Task.WaitAsync(TimeSpan.FromSeconds(60));
        await doomed.ExitAsync();
        await doomed.DisposeAsync();

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);

        async Task KillAsync()
        {
            await doomed!.SignalAsync("KILL");
            killed.SetResult();
        }
    }

    [Test]
    public async Task A_worker_frozen_in_mid_commit_that_wakes_after_another_has_finished_adds_no_row()
    {
        var frozen = new TaskCompletionSource();
        ChaosProcess? zombie = null;
        var left = 3;
        _target.Fault = call => call.Text.StartsWith("COPY", StringComparison.Ordinal) && Interlocked.Decrement(ref left) == 0
            ? new SnowflakeFault { Polls = 0, Waits = FreezeAsync() }
            : null;
        var runId = await StartRunAsync();
        zombie = StartWorker();
        await frozen.Task.WaitAsync(TimeSpan.FromSeconds(60));
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
        await zombie.SignalAsync("CONT");
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from engine.workers where state = 'active'") == 2, "it has registered again");
        await ExpectEveryRowOnceAsync(runId);
        await zombie.DisposeAsync();

        async Task FreezeAsync()
        {
            await zombie!.SignalAsync("STOP");
            frozen.SetResult();
        }
    }

    [Test]
    public async Task A_commit_that_is_broken_on_purpose_is_found_by_the_count()
    {
        var runId = await StartRunAsync();
        await using (var doomed = StartWorker($"{nameof(DestinationMoment.Committed)}:2:KILL", forgetful: true))
        {
            await doomed.ExitAsync();
        }

        await using var heir = StartWorker(forgetful: true);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        Assert.That(await _target.ListAsync($"SELECT 1 FROM \"ANALYTICS\".\"PUBLIC\".\"EVENTS\""), Has.Count.GreaterThan(Rows));
    }

    private ChaosProcess StartWorker(string death = "", bool forgetful = false) => ChaosProcess.StartLogged(
        null,
        new Dictionary<string, string> { [MortalDestination.DeathVariable] = death, [MortalDestination.ForgetfulVariable] = forgetful ? "1" : "" },
        _database.ConnectionString, _source, _database.Key);

    private async Task<Guid> StartRunAsync()
    {
        await _database.Destinations.CreateAsync(_target.Configured(), "tester");
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel { Table = _table, CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] },
                Settings = new ExportSettings { TargetSliceBytes = 60 * Rows / 6, ParallelSlices = 2 },
            },
            "snowflake",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.EqualTo("completed"));
        const string Sums = "count(*), '|', sum(\"ID\"), '|', md5(string_agg(concat(\"TEXT\", \"PROPS\"->>'$.n', epoch_us(\"TIMESTAMP\")), '' ORDER BY \"ID\"))";
        var source = await _clickHouse.ExecuteAsync(
            $"SELECT concat(toString(count()), '|', toString(sum(id)), '|', lower(hex(MD5(arrayStringConcat(groupArray(concat(text, toString(props.n), toString(toUnixTimestamp64Micro(timestamp)))))))))FROM (SELECT * FROM {_table} ORDER BY id)");
        Assert.That(await _target.ListAsync($"SELECT concat({Sums}) FROM \"ANALYTICS\".\"PUBLIC\".\"EVENTS\""), Is.EqualTo(new[] { source }), "every row once");
        Assert.That(await _database.ScalarAsync<long>("select exported_rows from exports.runs"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(4), "many slices, or nothing is shown");
        Assert.That(
            await _target.ListAsync(
                """
                SELECT c."SLICE" FROM "ANALYTICS"."PUBLIC"."_EXPORTER_COMMITS" c LEFT JOIN "ANALYTICS"."PUBLIC"."EVENTS" e ON e."_EXPORTER_COMMIT" = c."COMMIT_ID"
                GROUP BY c."SLICE", c."ROW_COUNT" HAVING COUNT(e."_EXPORTER_COMMIT") <> c."ROW_COUNT"
                """),
            Is.Empty,
            "as the documentation's query says");
        Assert.That(await _target.StagedAsync(), Is.Empty, "no file is left");
        Assert.That(await _target.ListAsync("SELECT table_name FROM information_schema.tables WHERE table_name LIKE '\\_EXPORTER\\_STAGE%' ESCAPE '\\'"), Is.Empty, "no staging table is left");
    }
}
