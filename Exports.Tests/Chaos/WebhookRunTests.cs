using System.Text;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Cli;
using Exporter.Exports.Tests.Destinations;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Whole runs to a webhook: worker processes are killed and frozen in the middle of a slice, and the receiver's rows are counted.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class WebhookRunTests
{
    private const int Rows = 3_000;
    private static readonly DataInterval Day = new(new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero), new(2026, 10, 2, 0, 0, 0, TimeSpan.Zero));
    private readonly string _secret = WebhookServer.NewSecret();
    private TestDatabase _database = null!;
    private LocalClickHouse _clickHouse = null!;
    private WebhookServer _server = null!;
    private string _source = null!;
    private string _table = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _clickHouse = await TestServers.ClickHouseAsync();
        _server = await WebhookServer.StartAsync(_secret);
        var name = "hook" + Guid.NewGuid().ToString("N");
        _source = await _clickHouse.CreateDatabaseAsync(name);
        _table = name + ".events";

        // Equal instants and no key: nothing but the order that we ask for makes two reads alike.
        await _clickHouse.ExecuteAsync($"CREATE TABLE {_table} (text String, timestamp DateTime64(3, 'UTC'), n UInt64) ENGINE = MergeTree ORDER BY tuple()");
        await _clickHouse.ExecuteAsync(
            $"INSERT INTO {_table} SELECT hex(cityHash64(number)), toDateTime64('2026-10-01 00:00:00', 3, 'UTC') + toIntervalSecond(number % 1000), number FROM numbers({Rows}) ORDER BY rand()");
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _server.DisposeAsync();
        await _database.DisposeAsync();
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task A_killed_worker_costs_at_most_the_messages_that_were_on_their_way(bool inOrder)
    {
        var runId = await StartRunAsync(("in_order", inOrder));
        var doomed = StartWorker();
        var killed = new TaskCompletionSource();
        _server.Fault = call =>
        {
            if (call.Number < 40)
            {
                return null;
            }

            // Nobody answers any more until the worker is dead.
            return new WebhookFault { Takes = true, Waits = killed.Task };
        };
        await Eventually.TrueAsync(() => _server.Calls.Count > 40, "messages are on their way");
        await doomed.SignalAsync("KILL");
        await doomed.ExitAsync();
        _server.Fault = _ => null;
        killed.SetResult();
        await doomed.DisposeAsync();
        var (before, onTheirWay) = (_server.Calls.Count, _server.Calls.Count - 40);

        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);

        // With two slices side by side, four of each: some were answered just before, and that was not written down yet.
        Assert.That(_server.Repeats, Is.GreaterThan(0).And.LessThanOrEqualTo(inOrder ? 1 : 8), $"of {before} messages");
        Assert.That(onTheirWay, Is.LessThanOrEqualTo(inOrder ? 1 : 4));
        var sent = await _database.ScalarAsync<long>("select sum(sent_bytes) from exports.slice_attempts where state = 'committed'");
        var resent = await _database.ScalarAsync<long>("select sum(resent_bytes) from exports.slices");
        Assert.That(sent, Is.GreaterThan(0));
        Assert.That(resent, Is.LessThanOrEqualTo(8 * _server.Calls.Max(call => call.Body.Length)), "what was acknowledged is not sent again");
        if (inOrder)
        {
            var numbers = _server.Rows().Select(row => JsonNode.Parse(row)!["timestamp"]!.GetValue<string>()).ToList();
            Assert.That(numbers, Is.Ordered.Using((IComparer<string>)StringComparer.Ordinal), "by the cursor, over all slices and both workers");
        }
    }

    [Test]
    public async Task A_zombie_that_wakes_in_mid_slice_brings_nothing_twice()
    {
        var runId = await StartRunAsync();
        await using var zombie = StartWorker();
        var frozen = new TaskCompletionSource();
        _server.Fault = call => call.Number == 40 ? new WebhookFault { Status = 503, Waits = frozen.Task } : null;
        await Eventually.TrueAsync(() => _server.Calls.Count > 40, "a message waits for its answer");
        await zombie.SignalAsync("STOP");
        await using var heir = StartWorker();
        await ExpectEveryRowOnceAsync(runId);

        await zombie.SignalAsync("CONT");
        frozen.SetResult();
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from engine.workers where state = 'active'") == 2, "it has registered again");
        await ExpectEveryRowOnceAsync(runId);
    }

    [Test]
    public async Task A_receiver_that_is_gone_stops_the_run_and_pauses_the_export()
    {
        _server.Fault = call => call.Number >= 5 ? new WebhookFault { Status = 410 } : null;
        var runId = await StartRunAsync();
        await using var worker = StartWorker();
        RunView run = null!;
        await Eventually.TrueAsync(async () => (run = await _database.Runs.GetAsync(runId)).State == "failed", "the run has failed");

        var export = await _database.Exports.GetAsync("events");
        Assert.That(run.Error, Does.Contain("answered 410").And.Contain("Setting: url."));
        Assert.That((export.Paused, export.Note!.Contains("answered 410", StringComparison.Ordinal)), Is.EqualTo((true, true)));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from exports.audit_log where action = 'pause' and actor = 'exporter'"), Is.EqualTo(1));
    }

    [Test]
    public async Task Dead_letters_are_listed_with_their_reason_and_sent_again_on_request()
    {
        _server.Fault = call => call.Body.AsSpan().IndexOf("\"n\":1234,"u8) >= 0 || call.Body.AsSpan().IndexOf("\"n\":1234}"u8) >= 0 ? new WebhookFault { Status = 422 } : null;
        var runId = await StartRunAsync(("rejected", "dead_letter"));
        await using var worker = StartWorker();
        await _database.Engine.ResultAsync<JsonObject>(runId, Deadline());

        var deliveries = new DeliveryStore(_database.Data, _database.Codec, _database.Destinations);
        var letter = (await deliveries.ListAsync(new DeadLetterFilter { BatchExport = "events" })).Single();
        Assert.That((letter.RunId, letter.Status, letter.State, letter.Receiver), Is.EqualTo((runId, 422, "pending", _server.Address.ToString())));
        Assert.That(letter.Reason, Does.EndWith("answered 422: as the test says"));
        Assert.That(_server.Rows(), Has.Count.EqualTo(Rows - letter.Rows));
        var stored = await _database.ScalarAsync<byte[]>("select body from exports.dead_letter");
        Assert.That(stored.AsSpan().IndexOf(Encoding.UTF8.GetBytes("\"n\"")), Is.EqualTo(-1), "it is encrypted");

        var folder = Directory.CreateTempSubdirectory("exporter-letters-");
        var cli = new ExporterCli(folder.FullName, new Dictionary<string, string?>
        {
            ["EXPORTER_POSTGRES"] = _database.ConnectionString, ["EXPORTER_CLICKHOUSE"] = _source, ["EXPORTER_ENCRYPTION_KEY"] = _database.Key,
        });
        Assert.That((await cli.RunAsync("dead-letter", "list")).Answer, Does.Contain(letter.DeadLetterId.ToString()).And.Contain("answered 422"));
        var refused = await cli.RunAsync("dead-letter", "resend", "--export", "events");
        Assert.That((refused.Status, refused.Error.Contains("answered 422", StringComparison.Ordinal) && refused.Error.Contains("set rejected to dead_letter", StringComparison.Ordinal)), Is.EqualTo((2, true)), refused.Error);
        _server.Fault = _ => null;
        Assert.That((await cli.RunAsync("dead-letter", "resend", letter.DeadLetterId.ToString(), "--json")).Answer, Does.Contain("\"resent\": 1"));
        Assert.That((await cli.RunAsync("dead-letter", "resend", letter.DeadLetterId.ToString())).Status, Is.EqualTo(2), "it was sent already");
        folder.Delete(recursive: true);
        Assert.That(_server.Calls.Last().Id, Is.EqualTo(letter.MessageId));
        await ExpectEveryRowOnceAsync(runId);
        Assert.That(await deliveries.ListAsync(new DeadLetterFilter()), Is.Empty);
        Assert.That((await deliveries.ListAsync(new DeadLetterFilter { All = true })).Single().State, Is.EqualTo("resent"));
    }

    private static CancellationToken Deadline() => new CancellationTokenSource(TimeSpan.FromSeconds(90)).Token;

    private ChaosProcess StartWorker() => ChaosProcess.Start(_database.ConnectionString, _source, _database.Key);

    private async Task<Guid> StartRunAsync(params (string Setting, JsonNode Value)[] settings)
    {
        var all = new JsonObject { ["url"] = _server.Address.ToString(), ["batch_rows"] = 10, ["timeout_seconds"] = 60 };
        foreach (var (setting, value) in settings)
        {
            all[setting] = value;
        }

        await _database.Destinations.CreateAsync(
            new Destination { Name = "hook", Kind = "webhook", Settings = all, Secrets = new Dictionary<string, string> { ["secret"] = _secret } }, "tester");
        var export = await _database.Exports.CreateAsync(
            new BatchExport
            {
                Name = "events", DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) },
                Model = new SourceModel { Table = _table, CursorColumn = "timestamp" },
                Settings = new ExportSettings { TargetSliceBytes = 40 * Rows / 3, ParallelSlices = 2 },
            },
            "hook",
            "tester");
        return await _database.Control.StartAsync(export, Day, "tester");
    }

    private async Task ExpectEveryRowOnceAsync(Guid runId)
    {
        await _database.Engine.ResultAsync<JsonObject>(runId, Deadline());
        var numbers = _server.Rows().Select(row => JsonNode.Parse(row)!["n"]!.GetValue<int>()).Order();
        Assert.That(numbers, Is.EqualTo(Enumerable.Range(0, Rows)), "every row once");
        Assert.That((_server.Conflicts, _server.Refused.Count), Is.EqualTo((0, 0)));
        Assert.That(await _database.ScalarAsync<long>("select sum(rows) from exports.slices where state = 'committed'"), Is.EqualTo(Rows));
        Assert.That(await _database.ScalarAsync<long>("select sum(rows) from exports.deliveries"), Is.EqualTo(Rows));
    }
}
