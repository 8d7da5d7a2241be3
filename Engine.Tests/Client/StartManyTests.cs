using System.Diagnostics;
using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Npgsql;

namespace Exporter.Engine.Tests.Client;

/// <summary>What starting many runs at once promises.</summary>
public sealed class StartManyTests
{
    private TestDatabase _database = null!;

    private EngineClient Client => TestWorker.ClientOf(_database.Data);

    [SetUp]
    public async Task PrepareAsync() => _database = await TestDatabase.NewAsync();

    [TearDown]
    public ValueTask EndAsync() => _database.DisposeAsync();

    [Test]
    public async Task Ten_thousand_runs_started_at_once_are_there_and_drain()
    {
        var clock = Stopwatch.StartNew();
        var handles = await Client.StartManyAsync("nothing", [.. Enumerable.Range(0, 10_000).Select(Run)]);
        TestContext.Out.WriteLine($"Started at {10_000 / clock.Elapsed.TotalSeconds:F0} runs/s.");
        Assert.That(handles.Select(handle => handle.RunId).Distinct().Count(), Is.EqualTo(10_000));
        Assert.That(handles, Has.All.Matches<RunHandle>(handle => handle is { IsNew: true }));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs where state = 'queued'"), Is.EqualTo(10_000));
        clock.Restart();
        await using var worker = await TestWorker.StartAsync(
            _database.ConnectionString, engine => engine.AddWorkflow<Nothing>("nothing"), TestWorker.Quick with { Slots = 1000, LeasePeriod = TimeSpan.FromSeconds(20) });
        await Eventually.TrueAsync(async () => await _database.ScalarAsync<long>("select count(*) from engine.live_run") == 0, "all are done", 90);
        TestContext.Out.WriteLine($"Drained at {10_000 / clock.Elapsed.TotalSeconds:F0} runs/s.");
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs where state = 'completed'"), Is.EqualTo(10_000));
    }

    [Test]
    public async Task Runs_with_one_key_are_started_once_however_many_bulks_race()
    {
        var bulks = await Task.WhenAll(Enumerable.Range(0, 4).Select(bulk => Client.StartManyAsync(
            "nothing",
            [.. Enumerable.Range(0, 3000).Select(number => (number, (StartOptions?)new StartOptions { IdempotencyKey = $"key {((number * 7) + (bulk * 1000)) % 1500}" }))])));
        Assert.That(bulks.Sum(handles => handles.Count(handle => handle.IsNew)), Is.EqualTo(1500));
        Assert.That(bulks.SelectMany(handles => handles).Select(handle => handle.RunId).Distinct().Count(), Is.EqualTo(1500));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.live_run"), Is.EqualTo(1500));
    }

    [Test]
    public async Task All_of_a_bulk_are_started_or_none_and_their_options_are_kept()
    {
        var taken = await Client.StartAsync("nothing", 1);
        var error = await Assert.ThrowsAsync<PostgresException>(() => Client.StartManyAsync(
            "nothing", [(1, null), (2, new StartOptions { RunId = taken.RunId })]));
        Assert.That(error!.SqlState, Is.EqualTo(PostgresErrorCodes.UniqueViolation));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.run"), Is.EqualTo(1));
        await using (var connection = await _database.Data.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            await Client.StartManyAsync("nothing", [(1, null)], transaction);
        }

        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.run"), Is.EqualTo(1), "the caller did not commit");
        Assert.That(await Client.StartManyAsync<int>("nothing", []), Is.Empty);
        var options = new StartOptions
        {
            Queue = "q", Priority = 3, ConcurrencyKey = "k", ConcurrencyLimit = 2, StartAt = TimeProvider.System.GetUtcNow().AddDays(1), Tags = new Dictionary<string, string> { ["a"] = "b" },
        };
        var run = (await Client.StartManyAsync("nothing", [(1, options)])).Single();
        Assert.That(
            await _database.ScalarAsync<string>($"select concat_ws(' ', queue, priority, state, concurrency_key, concurrency_limit, tags ->> 'a', due_at > engine.clock()) from engine.runs where run_id = '{run.RunId}'"),
            Is.EqualTo("q 3 waiting k 2 b t"));
    }

    [Test]
    public async Task What_is_started_by_copy_stands_there_as_what_is_started_alone()
    {
        var at = new DateTimeOffset(2035, 1, 2, 3, 4, 5, 678, TimeSpan.FromHours(5)).AddMicroseconds(9);
        StartOptions[] all =
        [
            new(),
            new() { Queue = "schlange \u00fc\ud83d\ude00", Priority = -3, Tags = new Dictionary<string, string> { ["a"] = "\"\u00e9\"", ["b"] = "" } },
            new() { StartAt = at, ExecutionTimeout = new TimeSpan(3, 4, 5, 6, 7), Version = 7 },
            new() { StartAt = new DateTimeOffset(1999, 1, 1, 0, 0, 0, TimeSpan.Zero), ConcurrencyKey = "k", ConcurrencyLimit = 9 },
            new() { Retry = new RetryPolicy { MaximumAttempts = 5, InitialInterval = TimeSpan.FromSeconds(2) } },
        ];
        foreach (var (options, number) in all.Select((options, number) => (options, number)))
        {
            await Client.StartAsync("alone", new string('x', number * 500), options);
        }

        await Client.StartManyAsync("copy", [.. all.Select((options, number) => (new string('x', number * 500), (StartOptions?)options))]);
        // All of them are as they were given, but for ids and the moment.
        const string Shown = """
            select string_agg(concat_ws(' ', r.queue, r.priority, r.input, r.tags, r.start_at, r.execution_timeout, r.retry, r.concurrency_key, r.concurrency_limit, l.queue, l.priority, l.state,
              case when r.start_at is not null then l.due_at end, case when r.start_at is not null then l.deadline_at end, l.deadline_at - l.due_at, l.version, l.concurrency_key, l.concurrency_limit), E'\n' order by length(r.input), r.queue)
            from engine.run r join engine.live_run l using (run_id) where r.workflow = @workflow and l.workflow = @workflow
            """;
        var alone = await _database.ScalarAsync<string>(Shown, new { workflow = "alone" });
        Assert.That(alone!.Split('\n'), Has.Length.EqualTo(5));
        Assert.That(await _database.ScalarAsync<string>(Shown, new { workflow = "copy" }), Is.EqualTo(alone));
    }

    [Test]
    public async Task A_bulk_that_breaks_off_in_the_middle_leaves_nothing_and_its_connection_as_it_was()
    {
        await using var connection = await _database.Data.OpenConnectionAsync();
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            Assert.That(
                async () => await Client.StartManyAsync("nothing", [(1, null), (2, new StartOptions { Queue = "a lone surrogate \ud800" })], transaction),
                Throws.InstanceOf<ArgumentException>());
        }

        await using var select = new NpgsqlCommand("select count(*) from engine.run", connection);
        Assert.That(await select.ExecuteScalarAsync(), Is.Zero);
        await Client.StartManyAsync("nothing", [(1, null), (2, null)]);
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.live_run"), Is.EqualTo(2));
    }

    private static (int Input, StartOptions? Options) Run(int number) => (number, new StartOptions { Queue = TestWorker.Queue });

    private sealed class Nothing : IWorkflow<int, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, int input) => Task.FromResult(input);
    }
}
