using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>A short run of <c>make chaos-export</c>, and that it can fail; what resuming costs.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class ExportChaosTests
{
    [Test]
    public async Task Every_key_is_there_once_whatever_happens_to_workers_ClickHouse_and_S3()
    {
        var verdict = await RunAsync(new ExportChaosSettings { Exports = 6, Seed = 7, Patience = TimeSpan.FromMinutes(3) });
        Assert.That(verdict.Wrong, Is.Empty);
        Assert.That(verdict.IsGood, Is.True, verdict.ToString());
    }

    [Test]
    public async Task Every_row_reaches_a_webhook_once_whatever_happens_to_workers_ClickHouse_and_the_receiver()
    {
        var verdict = await RunAsync(new ExportChaosSettings { Destination = "webhook", Cycles = 8, Seed = 3, Patience = TimeSpan.FromMinutes(3) });
        Assert.That(verdict.Wrong, Is.Empty);
        Assert.That(verdict.IsGood, Is.True, verdict.ToString());
    }

    [TestCase("azure-blob")]
    [TestCase("postgres")]
    public async Task Every_row_is_there_once_whatever_happens_to_workers_ClickHouse_and(string destination)
    {
        var verdict = await RunAsync(new ExportChaosSettings { Destination = destination, Cycles = 5, Seed = 5, Patience = TimeSpan.FromMinutes(3) });
        Assert.That(verdict.Wrong, Is.Empty);
        Assert.That(verdict.IsGood, Is.True, verdict.ToString());
    }

    [TestCase(null)]
    [TestCase("webhook")]
    [TestCase("azure-blob")]
    [TestCase("postgres")]
    [TestCase("s3")]
    [TestCase("redshift")]
    public async Task A_commit_that_is_broken_on_purpose_is_found(string? destination)
    {
        var verdict = await RunAsync(new ExportChaosSettings { Destination = destination, Exports = 1, Cycles = destination is null ? null : 2, Seed = 11, Broken = true, Patience = TimeSpan.FromMinutes(2) });
        Assert.That(verdict.IsGood, Is.False);
        Assert.That(verdict.Wrong, destination is null ? Has.Some.Contains("other rows than the source") : Is.Not.Empty);
    }

    // What was read for nothing, as ClickHouse has counted it in every attempt's query.
    [Test]
    [NonParallelizable]
    public async Task A_worker_killed_ten_times_in_an_export_costs_under_a_tenth_of_its_rows()
    {
        const int Kills = 10;
        const int Rows = 50_000;
        await using var database = await TestDatabase.NewAsync();
        var clickHouse = await TestServers.ClickHouseAsync();
        var name = "kills" + Guid.NewGuid().ToString("N");
        var source = await clickHouse.CreateDatabaseAsync(name);
        var output = Directory.CreateTempSubdirectory("exporter-kills-").FullName;
        await clickHouse.ExecuteAsync($"CREATE TABLE {name}.events (id UInt64, timestamp DateTime64(6, 'UTC'), text String) ENGINE = MergeTree ORDER BY timestamp SETTINGS index_granularity = 64");
        await clickHouse.ExecuteAsync($"INSERT INTO {name}.events SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(number * 72000), hex(cityHash64(number)) FROM numbers({Rows})");
        await database.Destinations.CreateAsync(new Destination { Name = "files", Kind = "files", Settings = new() { ["root"] = output } }, "tester");
        var export = await database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) }, Paused = true, Note = "by hand",
                Model = new SourceModel { Table = $"{name}.events", CursorColumn = "timestamp" },
                Settings = new ExportSettings { TargetSliceBytes = 41L * Rows / 270, ParallelSlices = 2 },
            },
            "files",
            "tester");
        var start = new DateTimeOffset(2026, 10, 1, 0, 0, 0, TimeSpan.Zero);
        var runId = await database.Control.StartAsync(export, new DataInterval(start, start.AddHours(1)), "tester");
        // Two at any time, so that the other one takes over; a killed one has a successor.
        var workers = new List<ChaosProcess> { Start(), Start() };
        for (var kill = 0; kill < Kills; kill++)
        {
            var committed = await CommittedAsync();
            await Eventually.TrueAsync(async () => await CommittedAsync() >= committed + 5, "five more slices are committed");
            var holder = await database.ScalarAsync<string>("select w.name from engine.runs r join engine.workers w using (worker_id) where r.run_id = @RunId", new { RunId = runId });
            var index = workers.FindIndex(worker => holder?.EndsWith(string.Create(CultureInfo.InvariantCulture, $":{worker.Id}"), StringComparison.Ordinal) == true);
            Assert.That(index, Is.GreaterThanOrEqualTo(0), $"{holder} is one of them");
            await workers[index].SignalAsync("KILL");
            await workers[index].DisposeAsync();
            workers[index] = Start();
        }

        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        await clickHouse.ExecuteAsync("SYSTEM FLUSH LOGS query_log");
        var read = double.Parse(
            await clickHouse.ExecuteAsync($"SELECT sum(read_rows) FROM system.query_log WHERE type != 'QueryStart' AND match(query_id, '^exporter-{runId:N}-[0-9]')"), CultureInfo.InvariantCulture);
        var useful = double.Parse(
            await clickHouse.ExecuteAsync($"SELECT sum(r) FROM (SELECT max(read_rows) AS r FROM system.query_log WHERE type = 'QueryFinish' AND match(query_id, '^exporter-{runId:N}-[0-9]') GROUP BY splitByChar('-', query_id)[3])"), CultureInfo.InvariantCulture);
        var run = await database.Runs.GetAsync(runId);
        var lost = await database.ScalarAsync<long>("select count(*) from exports.slice_attempts where state = 'lost'");
        TestContext.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"killed {Kills} times, epoch {run.Epoch}, {run.Slices} slices, {lost} attempts lost: {read - useful:N0} of {useful:N0} rows were read again, {(read / useful) - 1:P1}"));
        Assert.That(await clickHouse.ExecuteAsync($"SELECT count(), uniqExact(id) FROM file('{output}/**/*.parquet', 'Parquet')"), Is.EqualTo($"{Rows}\t{Rows}"));
        Assert.That(run.Epoch, Is.GreaterThanOrEqualTo(Kills + 1), "each kill was met by a takeover");
        Assert.That(read / useful, Is.LessThan(1.1));
        foreach (var worker in workers)
        {
            await worker.DisposeAsync();
        }

        Directory.Delete(output, recursive: true);

        ChaosProcess Start() => ChaosProcess.StartLogged(
            null, new Dictionary<string, string> { [ChaosFaults.LeaseVariable] = "1" }, database.ConnectionString, source, database.Key);
        Task<long> CommittedAsync() => database.ScalarAsync<long>("select count(*) from exports.slices where state = 'committed'");
    }

    private static async Task<ExportChaosVerdict> RunAsync(ExportChaosSettings settings)
    {
        await using var database = await TestDatabase.NewAsync();
        await using var chaos = new ExportChaos(settings, database, await TestServers.ClickHouseAsync(), new ChaosServers(TestServers.S3Async, TestServers.AzuriteAsync, TestServers.NewPostgresAsync));
        var verdict = await chaos.RunAsync();
        TestContext.Out.WriteLine(verdict);
        return verdict;
    }
}
