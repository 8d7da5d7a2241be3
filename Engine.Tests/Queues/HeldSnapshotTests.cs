using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Exporter.Engine.Tests.Queues;

/// <summary>Claims while somebody holds a snapshot, so that nothing that was claimed since leaves the index.</summary>
public sealed class HeldSnapshotTests
{
    private const int Many = 100_000;
    private static readonly WorkflowOffer Offer = new([("code", 1)]);
    private readonly StoppedClock _clock = new();
    private TestDatabase _database = null!;
    private NpgsqlDataSource _single = null!;
    private NpgsqlConnection _analyst = null!;
    private WorkerStore _store = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        await _database.ExecuteAsync("alter table engine.live_run set (autovacuum_enabled = false)");

        // One session, so that it can be told to say what it has read.
        _single = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(_database.ConnectionString) { MaxPoolSize = 1 });
        _store = new WorkerStore(_single, Guid.CreateVersion7(), time: _clock);
        await _store.RegisterAsync("test", TestWorker.Queue, 10, TimeSpan.FromMinutes(10), Offer, default);
        _analyst = await _database.Data.OpenConnectionAsync();
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _analyst.DisposeAsync();
        await _single.DisposeAsync();
        await _database.DisposeAsync();
    }

    [TestCase("queued")]
    [TestCase("waiting")]
    public async Task A_claim_beside_a_held_snapshot_walks_over_what_is_dead_only_now_and_then(string state)
    {
        await LeaveDeadAsync(Many, state);
        await AddAsync(30, 0, TimeSpan.FromSeconds(30), state);
        var front = await ReadAsync(10);
        Assert.That(front.Buffers, Is.GreaterThan(Many / 2), "the dead entries are there, each of a row somewhere else");
        for (var claim = 0; claim < 2; claim++)
        {
            var next = await ReadAsync(10);
            Assert.That(next.Runs, Has.Count.EqualTo(10));
            Assert.That(next.Buffers, Is.LessThan(2000));
        }

        Assert.That((await ReadAsync(10)).Buffers, Is.LessThan(2000), "and one that finds nothing");
    }

    [Test]
    public async Task A_run_that_comes_in_before_the_place_where_claims_begin_is_found_by_the_next_look_from_the_front()
    {
        await BecomeCostlyAsync();
        var (early, late) = ((await AddAsync(25, 0, TimeSpan.FromHours(2))).ToHashSet(), await AddAsync(1, 0, TimeSpan.Zero));
        Assert.That((await ClaimAsync(1)).Select(run => run.RunId), Is.EqualTo(late), "it has to wait");
        _clock.Move(ClaimFront.Longest);
        for (var left = early.Count; left > 0;)
        {
            var claimed = await ClaimAsync(10);
            Assert.That(claimed, Has.Count.EqualTo(Math.Min(10, left)), "the rest is claimed without another wait");
            Assert.That(early.IsSupersetOf(claimed.Select(run => run.RunId)));
            left -= claimed.Count;
        }
    }

    [Test]
    public async Task Priorities_hold_beside_a_held_snapshot()
    {
        await BecomeCostlyAsync();
        foreach (var round in Enumerable.Range(0, 3))
        {
            // Known and new ones, in no order; within one the first that is due.
            foreach (var priority in (short[])[7, -3, 0, 3, short.MaxValue, short.MinValue, (short)(10 + round), (short)(-10 - round)])
            {
                await AddAsync(3, priority, TimeSpan.Zero);
            }

            var claimed = new List<ClaimedRun>();
            while (await ClaimAsync(5) is { Count: > 0 } some)
            {
                claimed.AddRange(some);
            }

            Assert.That(claimed, Has.Count.EqualTo(24));
            Assert.That(claimed, Is.EqualTo(claimed.OrderBy(run => run.Priority).ThenBy(run => run.DueAt)));
            Assert.That(claimed.Select(run => run.Priority), Is.EqualTo(claimed.Select(run => run.Priority).Order()));
        }
    }

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    public async Task Every_run_is_claimed_wherever_it_comes_in(int seed)
    {
        var random = new Random(seed);
        await BecomeCostlyAsync();
        var (added, claimed) = (new HashSet<Guid>(), new List<Guid>());
        for (var round = 0; round < 60; round++)
        {
            added.UnionWith(await AddAsync(
                random.Next(0, 30), (short)random.Next(-3, 3), TimeSpan.FromSeconds(Math.Pow(random.NextDouble(), 6) * 10_000), random.Next(4) == 0 ? "waiting" : "queued"));
            _clock.Move(TimeSpan.FromMilliseconds(random.Next(0, 500)));
            claimed.AddRange((await ClaimAsync(random.Next(1, 40))).Select(run => run.RunId));
        }

        for (var looks = 0; claimed.Count < added.Count && looks < 5; looks++)
        {
            _clock.Move(ClaimFront.Longest);
            while (await ClaimAsync(40) is { Count: > 0 } some)
            {
                claimed.AddRange(some.Select(run => run.RunId));
            }
        }

        Assert.That(claimed, Is.Unique);
        Assert.That(claimed, Is.EquivalentTo(added));
    }

    [Test]
    public async Task A_worker_finds_what_came_in_before_the_place_where_its_claims_begin_by_itself()
    {
        await LeaveDeadAsync(Many, "queued");
        await using var worker = await TestWorker.StartAsync(
            _database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code"),
            services: services => services.AddSingleton(new Code((_, input) => Task.FromResult(input))));
        var first = await worker.Client.StartAsync("code", 1, new StartOptions { Queue = TestWorker.Queue });
        Assert.That(await worker.ResultAsync(first.RunId), Is.EqualTo(1));
        await using var connection = await _database.Data.OpenConnectionAsync();
        await using var late = await connection.BeginTransactionAsync();
        var run = await worker.Client.StartAsync("code", 2, new StartOptions { Queue = TestWorker.Queue }, late);
        await connection.ExecuteAsync("update engine.live_run set due_at = due_at - interval '1 hour' where run_id = @run", new { run = run.RunId }, late);
        await late.CommitAsync();
        Assert.That(await worker.ResultAsync(run.RunId).WaitAsync(ClaimFront.Longest + TimeSpan.FromSeconds(10)), Is.EqualTo(2));
    }

    // Three thousand dead entries, just enough.
    private async Task BecomeCostlyAsync()
    {
        await LeaveDeadAsync(ClaimFront.Cheap * 3 / 2, "queued");
        await AddAsync(1, 0, TimeSpan.Zero);
        Assert.That(await ClaimAsync(10), Has.Count.EqualTo(1));
        Assert.That(_store.ClaimAgainIn, Is.Not.Null);
    }

    /// <summary>Holds a snapshot while so many runs come and go; their rows lie in no order.</summary>
    private async Task LeaveDeadAsync(int runs, string state)
    {
        await _database.ExecuteAsync(
            """
            insert into engine.live_run (run_id, workflow, queue, priority, state, due_at)
            select gen_random_uuid(), 'code', @queue, 0, @state::engine.run_state, engine.clock() - interval '1 hour' + n * interval '10 ms'
            from generate_series(1, @runs) n order by random()
            """,
            new { queue = TestWorker.Queue, state, runs });
        await _analyst.ExecuteAsync("begin isolation level repeatable read; select count(*) from engine.worker");
        await _database.ExecuteAsync("delete from engine.live_run");
    }

    private async Task<List<Guid>> AddAsync(int runs, short priority, TimeSpan ago, string state = "queued")
    {
        await using var connection = await _database.Data.OpenConnectionAsync();
        return [.. await connection.QueryAsync<Guid>(
            """
            with new as materialized (select gen_random_uuid() as run_id from generate_series(1, @runs)), started as (
              insert into engine.run (run_id, workflow, queue, priority, input) select run_id, 'code', @queue, @priority, '' from new)
            insert into engine.live_run (run_id, workflow, queue, priority, state, due_at)
            select run_id, 'code', @queue, @priority, @state::engine.run_state, engine.clock() - @ago from new returning run_id
            """,
            new { runs, queue = TestWorker.Queue, priority, state, ago })];
    }

    private Task<List<ClaimedRun>> ClaimAsync(int limit) => _store.ClaimAsync(TestWorker.Queue, Offer, limit, default);

    /// <summary>Claims, and counts the blocks of the hot table and its indexes that this took.</summary>
    private async Task<(List<ClaimedRun> Runs, long Buffers)> ReadAsync(int limit)
    {
        var before = await BuffersAsync();
        var runs = await ClaimAsync(limit);
        return (runs, await BuffersAsync() - before);
    }

    private async Task<long> BuffersAsync()
    {
        await using var connection = await _single.OpenConnectionAsync();
        await connection.ExecuteAsync("select pg_stat_force_next_flush()");
        return await connection.ExecuteScalarAsync<long>(
            "select heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read from pg_statio_user_tables where relid = 'engine.live_run'::regclass");
    }

    /// <summary>Goes on when it is told to.</summary>
    private sealed class StoppedClock : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public void Move(TimeSpan by) => _now += by.Ticks;
    }
}
