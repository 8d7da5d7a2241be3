using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Queues;

/// <summary>Limits of queues and keys hold whoever claims, and leave nothing waiting for ever.</summary>
public sealed class LimitTests
{
    private static readonly WorkflowOffer Offer = new([("gauged", 1)]);
    private readonly List<TestWorker> _workers = [];
    private TestDatabase _database = null!;
    private Gauge _gauge = null!;

    private EngineClient Client => TestWorker.ClientOf(_database.Data);

    private QueueClient Queues => new(_database.Data);

    [SetUp]
    public async Task PrepareAsync() => (_database, _gauge) = (await TestDatabase.NewAsync(), new Gauge());

    [TearDown]
    public async Task EndAsync()
    {
        foreach (var worker in _workers)
        {
            await worker.DisposeAsync();
        }

        _workers.Clear();
        await _database.DisposeAsync();
    }

    [Test]
    public async Task Never_more_than_the_limit_of_a_key_execute_at_once_with_three_workers()
    {
        foreach (var number in Enumerable.Range(0, 120))
        {
            await StartAsync(number % 3 == 0 ? "one" : number % 3 == 1 ? "three" : "", 15, number % 3 == 0 ? 1 : 3);
        }

        await WorkAsync(3);
        await DrainedAsync();
        Assert.That(_gauge.MostOf("one"), Is.EqualTo(1));
        Assert.That(_gauge.MostOf("three"), Is.EqualTo(3));
    }

    [Test]
    public async Task Never_more_than_the_limit_of_a_queue_execute_at_once_over_all_workers()
    {
        await Queues.SetLimitsAsync(TestWorker.Queue, new QueueLimits { MaxRunning = 4 });
        foreach (var number in Enumerable.Range(0, 60))
        {
            await StartAsync(number % 2 == 0 ? "k" : "", 15, 100);
        }

        await WorkAsync(3);
        await DrainedAsync();
        Assert.That(_gauge.MostOf("all"), Is.EqualTo(4));
    }

    [Test]
    public async Task A_rate_is_kept_and_used()
    {
        await Queues.SetLimitsAsync(TestWorker.Queue, new QueueLimits { Rate = new StartRate { Count = 20, Burst = 5 } });
        for (var number = 0; number < 65; number++)
        {
            await StartAsync("", 1);
        }

        await WorkAsync(3);
        await DrainedAsync();
        var claimed = await _database.ScalarAsync<double>("select extract(epoch from max(started_at) - min(started_at)) from engine.runs");
        Assert.That(claimed, Is.InRange(2.95, 5.0), "5 at once, and 60 at 20 a second");
    }

    [Test]
    public async Task A_rate_of_a_key_leaves_other_keys_alone()
    {
        await Queues.SetLimitsAsync(TestWorker.Queue, new QueueLimits { Rate = new StartRate { Count = 1, Period = TimeSpan.FromDays(1), Burst = 2 } }, "scarce");
        for (var number = 0; number < 10; number++)
        {
            await StartAsync("scarce", 1, 100);
            await StartAsync("free", 1, 100);
        }

        await WorkAsync(2);
        await Eventually.TrueAsync(() => _gauge.Started.Count(start => start.Key == "free") == 10, "the others are done");
        Assert.That(_gauge.Started.Count(start => start.Key == "scarce"), Is.LessThanOrEqualTo(2));
        await Queues.SetLimitsAsync(TestWorker.Queue, new QueueLimits(), "scarce");
        await DrainedAsync();
    }

    [Test]
    public async Task A_new_run_of_another_key_waits_only_for_what_executes()
    {
        await Client.StartManyAsync("gauged", [.. Enumerable.Range(0, 5000).Select(_ => ("crowd 20", (StartOptions?)new StartOptions { Queue = TestWorker.Queue, ConcurrencyKey = "crowd", ConcurrencyLimit = 1000 }))]);
        await WorkAsync(1, slots: 4);
        await Eventually.TrueAsync(() => _gauge.Started.Count > 8, "the crowd executes");
        var before = _gauge.Started.Count;
        var late = await StartAsync("late", 1);
        await Client.ResultAsync<string>(late);
        var ahead = _gauge.Started.Skip(before).TakeWhile(start => start.Key != "late").Count();
        Assert.That(ahead, Is.LessThanOrEqualTo(12), "some were claimed while the start was on its way");
    }

    [Test]
    public async Task Lower_priority_numbers_are_claimed_first_with_keys_and_without([Values] bool keyed)
    {
        var runs = new Dictionary<Guid, short>();
        foreach (var priority in new short[] { 5, -3, 0, 5, -3, 0 })
        {
            runs[await StartAsync(keyed ? $"k{runs.Count}" : "", 1, 1, priority)] = priority;
        }

        var store = await RegisterAsync();
        var order = new List<short>();
        while (await store.ClaimAsync(TestWorker.Queue, Offer, 1, default) is [var run])
        {
            order.Add(runs[run.RunId]);
        }

        Assert.That(order, Is.EqualTo(new short[] { -3, -3, 0, 0, 5, 5 }));
    }

    [Test]
    public async Task A_lost_worker_frees_the_keys_of_its_runs()
    {
        await StartAsync("k", 1);
        await StartAsync("k", 1);
        var (doomed, heir) = (await RegisterAsync(), await RegisterAsync());
        Assert.That(await doomed.ClaimAsync(TestWorker.Queue, Offer, 5, default), Has.Count.EqualTo(1));
        Assert.That(await heir.ClaimAsync(TestWorker.Queue, Offer, 5, default), Is.Empty);
        await _database.ExecuteAsync("update engine.worker set lease_until = engine.clock() - interval '1 s' where worker_id = (select worker_id from engine.live_run where worker_id is not null)");
        Assert.That((await heir.SweepAsync(TimeSpan.FromMinutes(1), default)).Freed, Is.EqualTo(1));
        Assert.That(await heir.ClaimAsync(TestWorker.Queue, Offer, 5, default), Has.Count.EqualTo(1));
        Assert.That(await heir.ClaimAsync(TestWorker.Queue, Offer, 5, default), Is.Empty, "and no more than one");
    }

    [Test]
    public async Task A_run_that_waits_frees_its_key()
    {
        await WorkAsync(1);
        var sleeper = (await Client.StartAsync("gauged", "k sleep", new StartOptions { Queue = TestWorker.Queue, ConcurrencyKey = "k" })).RunId;
        await Eventually.TrueAsync(async () => (await Client.GetAsync(sleeper))!.State == RunState.Waiting, "it sleeps");
        Assert.That(await Client.ResultAsync<string>(await StartAsync("k", 1)), Is.EqualTo("k"));
    }

    [Test]
    public async Task A_claimer_that_is_frozen_holds_a_queue_up_for_seconds_only()
    {
        await using var frozen = await _database.Data.OpenConnectionAsync();
        await using var transaction = await frozen.BeginTransactionAsync();
        await using var command = new Npgsql.NpgsqlCommand(SqlFile.Load(typeof(WorkerStore).Assembly, "sql/queues.sql")["TryLockQueue"], frozen, transaction)
        {
            Parameters = { new() { Value = TestWorker.Queue } },
        };
        await command.ExecuteNonQueryAsync();
        await StartAsync("k", 1);
        var store = await RegisterAsync();
        Assert.That(await store.ClaimAsync(TestWorker.Queue, Offer, 1, default), Is.Empty);
        Assert.That(store.ClaimAgainIn, Is.Not.Null);
        await Eventually.TrueAsync(async () => (await store.ClaimAsync(TestWorker.Queue, Offer, 1, default)).Count == 1, "it is claimed");
    }

    [Test]
    public async Task More_keys_than_one_look_holds_are_all_claimed()
    {
        await Client.StartManyAsync("gauged", [.. Enumerable.Range(0, 3000).Select(number => ("k 0", (StartOptions?)new StartOptions { Queue = TestWorker.Queue, ConcurrencyKey = $"key {number / 2}" }))]);
        var store = await RegisterAsync();
        var claimed = 0;
        for (var looks = 0; looks < 100 && claimed < 1500; looks++)
        {
            claimed += (await store.ClaimAsync(TestWorker.Queue, Offer, 1000, default)).Count;
        }

        Assert.That(claimed, Is.EqualTo(1500), "one of each key");
        Assert.That(await _database.ScalarAsync<long>("select max(running) from engine.concurrency_keys"), Is.EqualTo(1));
    }

    [Test]
    public async Task Whatever_the_keys_limits_and_priorities_everything_drains()
    {
        await Queues.SetLimitsAsync(TestWorker.Queue, new QueueLimits { MaxRunning = 9, Rate = new StartRate { Count = 500, Burst = 10 } });
        await Queues.SetLimitsAsync(TestWorker.Queue, new QueueLimits { MaxRunning = 2 }, "b");
        var seed = Environment.TickCount;
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var number = 0; number < 300; number++)
        {
            await StartAsync(new[] { "", "a", "b", "c", "d" }[random.Next(5)], random.Next(9), random.Next(1, 5), (short)random.Next(-2, 3));
        }

        await WorkAsync(3);
        await DrainedAsync();
        Assert.That(_gauge.MostOf("all"), Is.LessThanOrEqualTo(9));
        Assert.That(_gauge.MostOf("a"), Is.LessThanOrEqualTo(4));
        Assert.That(_gauge.MostOf("b"), Is.LessThanOrEqualTo(2));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs where state = 'completed'"), Is.EqualTo(300));
    }

    [Test]
    public async Task Limits_that_are_out_of_range_are_refused_by_name_and_others_are_read_back()
    {
        var limits = new QueueLimits { MaxRunning = 7, Rate = new StartRate { Count = 3, Period = TimeSpan.FromMinutes(1), Burst = 2 } };
        await Queues.SetLimitsAsync("q", limits);
        Assert.That(await Queues.GetAsync("q"), Is.EqualTo(limits));
        Assert.That(await _database.ScalarAsync<string>("select max_running || ' ' || rate_count || ' ' || burst || ' ' || tokens from engine.queues where queue = 'q'"), Is.EqualTo("7 3 2 2"));
        await Queues.SetLimitsAsync("q", new QueueLimits());
        Assert.That(await Queues.GetAsync("q"), Is.Null);
        var error = await Assert.ThrowsAsync<ArgumentException>(() => Queues.SetLimitsAsync("q", new QueueLimits { MaxRunning = 0 }));
        Assert.That(error!.Message, Does.Contain("MaxRunning must be from 1 to 1,000,000; it is 0."));
        error = await Assert.ThrowsAsync<ArgumentException>(() => Client.StartAsync("any", 1, new StartOptions { ConcurrencyLimit = 10_001 }));
        Assert.That(error!.Message, Does.Contain("ConcurrencyLimit must be from 1 to 10,000; it is 10001."));
    }

    private async Task<Guid> StartAsync(string key, int milliseconds, int limit = 1, short priority = 0) => (await Client.StartAsync(
        "gauged",
        $"{(key.Length == 0 ? "none" : key)} {milliseconds}",
        new StartOptions { Queue = TestWorker.Queue, ConcurrencyKey = key.Length == 0 ? null : key, ConcurrencyLimit = limit, Priority = priority })).RunId;

    private async Task WorkAsync(int workers, int slots = 8)
    {
        for (var number = 0; number < workers; number++)
        {
            _workers.Add(await TestWorker.StartAsync(
                _database.ConnectionString,
                engine => engine.AddWorkflow<GaugedWorkflow>("gauged"),
                TestWorker.Quick with { Slots = slots, LeasePeriod = TimeSpan.FromSeconds(10) },
                services => services.AddSingleton(_gauge)));
        }
    }

    private async Task<WorkerStore> RegisterAsync()
    {
        var id = Guid.CreateVersion7();
        var store = new WorkerStore(_database.Data, id);
        await store.RegisterAsync("test", TestWorker.Queue, 10, TimeSpan.FromMinutes(1), Offer, default);
        return store;
    }

    private Task DrainedAsync() => Eventually.TrueAsync(
        async () => await _database.ScalarAsync<long>("select count(*) from engine.live_run") == 0, "everything is done", 60);
}
