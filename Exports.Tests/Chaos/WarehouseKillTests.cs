using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>
/// Workers die and freeze in the middle of an export to a warehouse's double, at statements that a fixture names; then SQL counts the rows in the tables that it loaded.
/// </summary>
public abstract class WarehouseKillTests
{
    /// <summary>Rows of the export.</summary>
    protected const int Rows = 4_000;

    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private TestDatabase _database = null!;
    private LocalClickHouse _clickHouse = null!;
    private string _source = null!;
    private string _table = null!;

    /// <summary>Starts the double and answers it as a destination.</summary>
    protected abstract Task<Destination> StartAsync();

    /// <summary>Stops the double.</summary>
    protected abstract Task StopAsync();

    /// <summary>Does something when a statement with this text has come so many times.</summary>
    /// <param name="statement">A part of it.</param>
    /// <param name="time">How many times.</param>
    /// <param name="fate">What becomes of it.</param>
    /// <param name="act">What is done before.</param>
    protected abstract void AtStatement(string statement, int time, StatementFate fate, Func<Task> act);

    /// <summary>Rows in the table events.</summary>
    protected abstract Task<long> CountAsync();

    /// <summary>Count of the rows, sum of id, and MD5 of text, props.n and microseconds of timestamp in the order of id, separated by |.</summary>
    protected abstract Task<string> SumsAsync();

    /// <summary>What is left that should not be: slices of which _exporter_commits says other rows than there are, staged files, staging tables.</summary>
    protected abstract Task<IReadOnlyList<string>> LeftAsync();

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        await _database.Destinations.CreateAsync(await StartAsync() with { Name = "warehouse" }, "tester");
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
        await StopAsync();
        await _database.DisposeAsync();
    }

    /// <summary>A worker is killed at a statement, the next one at another, and so on; then one ends the run.</summary>
    protected async Task KillAsync(params (string Statement, int Time, bool Executed)[] deaths)
    {
        var runId = await StartRunAsync();
        foreach (var (statement, time, executed) in deaths)
        {
            ChaosProcess? doomed = null;
            var killed = new TaskCompletionSource();
            AtStatement(statement, time, executed ? StatementFate.Executed : StatementFate.Lost, async () =>
            {
                await doomed!.SignalAsync("KILL");
                killed.SetResult();
            });
            doomed = StartWorker();
            await killed.Task.WaitAsync(TimeSpan.FromSeconds(60));
            await doomed.ExitAsync();
            await doomed.DisposeAsync();
        }

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);
    }

    /// <summary>A worker is frozen at a statement; another ends the run; then it wakes.</summary>
    protected async Task FreezeAsync(string statement, int time)
    {
        var frozen = new TaskCompletionSource();
        ChaosProcess? zombie = null;
        AtStatement(statement, time, StatementFate.Answered, async () =>
        {
            await zombie!.SignalAsync("STOP");
            frozen.SetResult();
        });
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
        Assert.That(await CountAsync(), Is.GreaterThan(Rows));
    }

    private ChaosProcess StartWorker(string death = "", bool forgetful = false) => ChaosProcess.StartLogged(
        null,
        new Dictionary<string, string> { [MortalDestination.DeathVariable] = death, [MortalDestination.ForgetfulVariable] = forgetful ? "1" : "" },
        _database.ConnectionString, _source, _database.Key);

    private async Task<Guid> StartRunAsync()
    {
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel { Table = _table, CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] },
                Settings = new ExportSettings { TargetSliceBytes = 60 * Rows / 6, ParallelSlices = 2 },
            },
            "warehouse",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        Assert.That(await _database.ScalarAsync<string>("select state from exports.runs"), Is.EqualTo("completed"));
        var source = await _clickHouse.ExecuteAsync(
            $"SELECT concat(toString(count()), '|', toString(sum(id)), '|', lower(hex(MD5(arrayStringConcat(groupArray(concat(text, toString(props.n), toString(toUnixTimestamp64Micro(timestamp))))))))) FROM (SELECT * FROM {_table} ORDER BY id)");
        Assert.That(await SumsAsync(), Is.EqualTo(source), "every row once");
        Assert.That(await _database.ScalarAsync<long>("select exported_rows from exports.runs"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.slices"), Is.GreaterThan(4), "many slices, or nothing is shown");
        Assert.That(await LeftAsync(), Is.Empty);
    }
}

/// <summary>What becomes of a statement at which something is done to its sender.</summary>
public enum StatementFate
{
    /// <summary>It goes with its sender, as far as the double can tell that it is gone.</summary>
    Lost,

    /// <summary>It is executed, and nobody hears of it.</summary>
    Executed,

    /// <summary>It is executed and answered, late.</summary>
    Answered,
}
