using System.Diagnostics.Metrics;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Tests.Workers;

/// <summary>The indexes of what is unfinished become small again when little is left in them, and nobody waits for it.</summary>
public sealed class IndexUpkeepTests
{
    private const int Large = 256 << 10;
    private const string Sizes = "select coalesce(max(pg_relation_size(indexrelid)), 0) from pg_index where indrelid = 'engine.live_run'::regclass";
    private const string Leftovers = "select count(*) from pg_class where relname ~ '_cc(new|old)'";
    private static readonly WorkerOptions Tidy = CodeWorker.Patient with { ReindexFrom = Large, ReindexInterval = TimeSpan.FromMilliseconds(300) };
    private readonly List<NpgsqlDataSource> _pools = [];
    private TestDatabase _database = null!;

    [SetUp]
    public async Task PrepareAsync() => _database = await TestDatabase.NewAsync();

    [TearDown]
    public async Task EndAsync()
    {
        foreach (var pool in _pools)
        {
            await pool.DisposeAsync();
        }

        _pools.Clear();
        await _database.DisposeAsync();
    }

    [Test]
    public async Task Indexes_that_a_drained_queue_has_left_empty_are_rebuilt_while_runs_go_on()
    {
        await FillAsync(20_000);
        var rebuilt = 0L;
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Name == "exporter.engine.index.rebuilds")
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((_, value, tags, _) => Interlocked.Add(ref rebuilt, tags[0].Value is "completed" ? value : 0));
        listener.Start();
        var log = new RecordedLog();
        await using var worker = await TestWorker.StartAsync(
            _database.ConnectionString, engine => engine.AddWorkflow<Code>("code"), Tidy,
            services => services.AddSingleton(new Code((_, input) => Task.FromResult(input))).AddSingleton<ILoggerProvider>(log));
        await DrainAsync(20_000);
        var going = Task.Run(async () =>
        {
            for (var run = 0; await SizeAsync() >= Large; run++)
            {
                Assert.That(await worker.ResultAsync(await worker.BeginAsync(run)), Is.EqualTo(run));
            }
        });
        await Eventually.TrueAsync(async () => await SizeAsync() < Large, "the indexes are small");
        await going;
        await Eventually.TrueAsync(() => log.Lines.Any(line => line.Id == 109 && line.Text.Contains("live_run_pkey", StringComparison.Ordinal)), "it says so");
        Assert.That(Interlocked.Read(ref rebuilt), Is.Positive);
        Assert.That(await _database.ScalarAsync<long>(Leftovers), Is.Zero);
        Assert.That(log.Lines.Where(line => line.Level >= LogLevel.Warning), Is.Empty);
    }

    [Test]
    public async Task A_table_that_vacuum_has_emptied_but_not_cut_is_cut()
    {
        await FillAsync(20_000);
        await _database.ExecuteAsync("delete from engine.live_run");
        await _database.ExecuteAsync("vacuum (truncate off) engine.live_run");
        Assert.That(await TableAsync(), Is.GreaterThan(Large));
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select n_live_tup from pg_stat_user_tables where relid = 'engine.live_run'::regclass") < 100, "the statistics know it");
        var upkeep = Upkeep();
        Assert.That(await upkeep.TidyAsync(default), Is.Zero);
        Assert.That(await upkeep.TidyAsync(default), Is.Positive);
        Assert.That(await TableAsync(), Is.LessThan(Large));

        Task<long> TableAsync() => _database.ScalarAsync<long>("select pg_relation_size('engine.live_run')");
    }

    [TestCase(8_000_000, 1_000, 0, ExpectedResult = true)]
    [TestCase(8_000_000, 100_000, 0, ExpectedResult = false, Description = "Much of it may be used")]
    [TestCase(8_000_000, 1_000, 100_000, ExpectedResult = false, Description = "It would soon be as large again")]
    [TestCase(8_000_000, 1_000, -1, ExpectedResult = false, Description = "The statistics began anew")]
    public bool An_index_is_rebuilt_when_it_is_mostly_empty_and_would_stay_so(long bytes, long rows, long writtenSince) =>
        new TableIndex("any", bytes, rows, 500 + writtenSince, IsLeftover: false, "", "").IsMostlyEmpty(500);

    [Test]
    public async Task What_a_rebuild_that_broke_off_left_behind_is_dropped()
    {
        await using (var writing = await _database.Data.OpenConnectionAsync())
        {
            await using var transaction = await writing.BeginTransactionAsync();
            await new NpgsqlCommand("insert into engine.live_run (run_id, workflow, queue, priority, state, due_at) values (gen_random_uuid(), 'w', 'q', 0, 'queued', now())", writing).ExecuteNonQueryAsync();
            await using var breaking = await _database.Data.OpenConnectionAsync();
            await new NpgsqlCommand("set statement_timeout = '100ms'", breaking).ExecuteNonQueryAsync();
            Assert.That(async () => await new NpgsqlCommand("reindex index concurrently engine.live_run_pkey", breaking).ExecuteNonQueryAsync(), Throws.InstanceOf<PostgresException>());
            Assert.That(await _database.ScalarAsync<long>(Leftovers), Is.EqualTo(1));
        }

        Assert.That(await Upkeep().TidyAsync(default), Is.EqualTo(1));
        Assert.That(await _database.ScalarAsync<long>(Leftovers), Is.Zero);
    }

    [Test]
    public async Task One_session_at_a_time_rebuilds_and_none_while_a_transaction_is_older_than_the_last_look()
    {
        await FillAsync(20_000);
        await DrainAsync(20_000);
        var upkeep = Upkeep();
        Assert.That(await upkeep.TidyAsync(default), Is.Zero, "what was written lately is not known yet");
        await using (var busy = await _database.Data.OpenConnectionAsync())
        {
            await using var transaction = await busy.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead);
            await new NpgsqlCommand("select count(*) from engine.run", busy).ExecuteNonQueryAsync();
            var other = Upkeep();
            Assert.That(await other.TidyAsync(default), Is.Zero);
            Assert.That(await other.TidyAsync(default), Is.Zero, "the transaction was there at the last look, too");
        }

        await using (var taken = await _database.Data.OpenConnectionAsync())
        {
            await new NpgsqlCommand("select pg_advisory_lock(hashtextextended('exporter index upkeep', 0))", taken).ExecuteNonQueryAsync();
            Assert.That(await upkeep.TidyAsync(default), Is.Zero, "another session is at it");
            await new NpgsqlCommand("select pg_advisory_unlock_all()", taken).ExecuteNonQueryAsync();
        }

        await using (var vacuuming = await _database.Data.OpenConnectionAsync())
        {
            await using var transaction = await vacuuming.BeginTransactionAsync();
            await new NpgsqlCommand("lock table engine.live_run in share update exclusive mode", vacuuming).ExecuteNonQueryAsync();
            Assert.That(await upkeep.TidyAsync(default), Is.Zero, "as vacuum does, somebody has the table");
        }

        Assert.That(await upkeep.TidyAsync(default), Is.Positive);
        Assert.That(await SizeAsync(), Is.LessThan(Large));
        Assert.That(await upkeep.TidyAsync(default), Is.Zero, "nothing is left to be done");
    }

    [Test]
    public async Task It_takes_the_owner_of_the_schema_and_no_superuser()
    {
        var (owner, other) = ($"owner_{Guid.NewGuid():N}", $"other_{Guid.NewGuid():N}");
        await _database.ExecuteAsync(
            $"""
            create role {owner} login; create role {other} login;
            grant usage on schema engine to {owner}, {other};
            grant select, insert, update, delete on all tables in schema engine to {other};
            alter table engine.live_run owner to {owner}
            """);
        await FillAsync(20_000);
        await DrainAsync(20_000);
        var (by, beside) = (Upkeep(owner), Upkeep(other));
        Assert.That((await by.TidyAsync(default), await beside.TidyAsync(default)), Is.EqualTo((0, 0)));
        Assert.That(await beside.TidyAsync(default), Is.Zero, "not its own");
        Assert.That(await by.TidyAsync(default), Is.Positive);
        Assert.That(await SizeAsync(), Is.LessThan(Large));
        await _database.ExecuteAsync($"alter table engine.live_run owner to current_user; drop owned by {owner}, {other}; drop role {owner}, {other}");
    }

    private Task<long> SizeAsync() => _database.ScalarAsync<long>(Sizes);

    private Task<int> FillAsync(int runs) => _database.ExecuteAsync(
        """
        insert into engine.live_run (run_id, workflow, queue, priority, state, due_at)
        select gen_random_uuid(), 'w', 'other', 0, 'queued', now() from generate_series(1, @runs)
        """,
        new { runs });

    // As if they had been executed.
    private async Task DrainAsync(int runs)
    {
        Assert.That(await SizeAsync(), Is.GreaterThan(Large));
        Assert.That(await _database.ExecuteAsync("delete from engine.live_run where queue = 'other'"), Is.EqualTo(runs));
        await _database.ExecuteAsync("vacuum engine.live_run");
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select n_live_tup from pg_stat_user_tables where relid = 'engine.live_run'::regclass") < 100, "the statistics know it");
    }

    private IndexUpkeep Upkeep(string? user = null)
    {
        var connection = new NpgsqlConnectionStringBuilder(_database.ConnectionString);
        connection.Username = user ?? connection.Username;
        var database = new EngineDatabase(connection.ConnectionString);
        _pools.Add(database.OpenFor(Guid.NewGuid(), 2));
        return new IndexUpkeep(
            database, _pools[^1], null, Guid.NewGuid(), Tidy, TimeProvider.System,
            new EngineMetrics(new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>()), Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
    }
}
