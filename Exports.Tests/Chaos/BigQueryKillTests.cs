using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Workers die and freeze in the middle of an export to BigQuery's double; then SQL counts the rows in the tables that it loaded.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class BigQueryKillTests
{
    private const int Rows = 4_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private BigQueryServer _target = null!;
    private LocalClickHouse _clickHouse = null!;
    private string _source = null!;
    private string _table = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _target = await BigQueryServer.StartAsync();
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

    [Test]
    public async Task Every_row_is_in_BigQuery_once_after_workers_were_killed_in_the_midst_of_an_upload_and_of_a_commit()
    {
        ChaosProcess? doomed = null;
        var killed = new TaskCompletionSource();
        var left = 2;
        _target.Fault = call => call.Kind == "upload.put" && Interlocked.Decrement(ref left) == 0 ? new BigQueryFault { Waits = KillAsync() } : null;
        var runId = await StartRunAsync();
        await ExpectDeathAsync();

        // It is done, and nobody hears of it.
        (killed, left) = (new TaskCompletionSource(), 2);
        _target.Fault = call => call.Text.Contains("SET `committed_at`", StringComparison.Ordinal) && Interlocked.Decrement(ref left) == 0
            ? new BigQueryFault { Executes = true, Waits = KillAsync() }
            : null;
        await ExpectDeathAsync();

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);

        async Task ExpectDeathAsync()
        {
            doomed = StartWorker();
            await killed.Task.WaitAsync(TimeSpan.FromSeconds(60));
            await doomed.ExitAsync();
            await doomed.DisposeAsync();
        }

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
        _target.Fault = call => call.Kind == "upload.put" && Interlocked.Decrement(ref left) == 0 ? new BigQueryFault { Polls = 0, Waits = FreezeAsync() } : null;
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
        Assert.That(await _target.ListAsync("SELECT 1 FROM \"test-project\".analytics.events"), Has.Count.GreaterThan(Rows));
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
            "bigquery",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.EqualTo("completed"));
        const string Sums = "count(*), '|', sum(id), '|', md5(string_agg(concat(text, props->>'$.n', epoch_us(timestamp)), '' ORDER BY id))";
        var source = await _clickHouse.ExecuteAsync(
            $"SELECT concat(toString(count()), '|', toString(sum(id)), '|', lower(hex(MD5(arrayStringConcat(groupArray(concat(text, toString(props.n), toString(toUnixTimestamp64Micro(timestamp)))))))))FROM (SELECT * FROM {_table} ORDER BY id)");
        Assert.That(await _target.ListAsync($"SELECT concat({Sums}) FROM (SELECT * REPLACE (CAST(id AS BIGINT) AS id) FROM \"test-project\".analytics.events)"), Is.EqualTo(new[] { source }), "every row once");
        Assert.That(await _database.ScalarAsync<long>("select exported_rows from exports.runs"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(4), "many slices, or nothing is shown");
        Assert.That(
            await _target.ListAsync(
                """
                SELECT c.slice FROM "test-project".analytics._exporter_commits_events AS c LEFT JOIN "test-project".analytics.events AS e ON e._exporter_commit = c.claim_id
                WHERE c.committed_at IS NOT NULL GROUP BY c.slice, c.claim_id, c.row_count HAVING COUNT(e._exporter_commit) <> c.row_count
                """),
            Is.Empty,
            "as the documentation's query says");
        Assert.That(_target.Tables.All.Keys.Where(name => name.StartsWith("_exporter_stage", StringComparison.Ordinal)), Is.Empty, "no staging table is left");
    }
}
