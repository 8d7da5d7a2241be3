using System.Diagnostics;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Tests.Pooler;

/// <summary>Everything goes through PgBouncer in transaction mode, with fewer connections to the server than clients.</summary>
public sealed class PoolerTests
{
    private const int PoolSize = 4;
    private PgBouncer _pooler = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _pooler = await PgBouncer.StartAsync(TestPostgres.Server, PoolSize);

    [OneTimeTearDown]
    public async Task EndAsync() => await _pooler.DisposeAsync();

    [Test]
    public async Task Runs_of_every_kind_end_behind_a_transaction_pooler_with_no_setting_made()
    {
        var through = _pooler.Through(await TestPostgres.NewDatabaseAsync());
        var scripts = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => EngineSchema.MigrateAsync(through)));
        Assert.That(scripts.Sum(applied => applied.Count), Is.EqualTo(scripts.SelectMany(applied => applied).Distinct().Count()).And.GreaterThan(0));
        await using var database = new TestDatabase(through);
        await database.ExecuteAsync(Medley.Table);
        var log = new RecordedLog();
        await using var first = await WorkerAsync(through, log);
        await using var second = await WorkerAsync(through, log);
        var schedules = new ScheduleClient(database.Data, new PayloadCodec(KeyRing.Empty));
        await schedules.PutAsync(
            new Schedule { Id = "each second", Spec = new ScheduleSpec { Every = TimeSpan.FromSeconds(1) }, Workflow = "medley child", Queue = TestWorker.Queue, Overlap = OverlapPolicy.BufferAll }, 1);
        await new QueueClient(database.Data).SetLimitsAsync(TestWorker.Queue, new QueueLimits { MaxRunning = 12 });
        await first.Client.StartManyAsync("medley child", [.. Enumerable.Range(0, 50).Select(number => (number, (StartOptions?)new StartOptions { Queue = TestWorker.Queue }))]);
        await Medley.RunManyAsync(first.Client, 30);
        await Eventually.TrueAsync(
            async () => await database.ScalarAsync<long>("select count(*) from engine.runs where schedule_id is not null and state = 'completed'") >= 2, "the schedule fires");
        await schedules.DeleteAsync("each second");
        Assert.That(await Medley.WrongAsync(database), Is.Zero);
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.attempts where state = 'failed' and error <> 'Not yet.'"), Is.Zero);
        Assert.That(log.Lines.Where(line => line.Level >= LogLevel.Warning && line.Id != 300), Is.Empty, "neither errors nor warnings but of attempts that failed on purpose");
        Assert.That(log.Lines.Count(line => line.Id == 108), Is.EqualTo(2), "each process says it once");
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.workers where refused_writes > 0"), Is.Zero);
    }

    [Test]
    public async Task Behind_a_pooler_nothing_is_left_in_its_sessions()
    {
        await using var direct = await TestDatabase.NewAsync();
        var through = _pooler.Through(direct.ConnectionString);
        await direct.ExecuteAsync(Medley.Table);
        await using (var worker = await WorkerAsync(through, new RecordedLog()))
        {
            await Medley.RunManyAsync(worker.Client, 5);
            await using var shared = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(through) { NoResetOnClose = true }.ConnectionString);
            var held = await Task.WhenAll(Enumerable.Range(0, PoolSize).Select(async _ =>
            {
                // A transaction each, so that each is in a session of its own of the server.
                await using var connection = await shared.OpenConnectionAsync();
                await using var transaction = await connection.BeginTransactionAsync();
                await using var command = new NpgsqlCommand(
                    """
                    select (select count(*) from pg_prepared_statements where name <> '') + (select count(*) from pg_listening_channels())
                      + (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory')
                    """, connection, transaction);
                return (long)(await command.ExecuteScalarAsync())!;
            }));
            Assert.That(held, Is.All.Zero);
        }

        Assert.That(await direct.ScalarAsync<long>("select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"), Is.Zero);
    }

    [Test]
    public async Task Notifications_that_come_another_way_shorten_the_wait_behind_a_pooler()
    {
        await using var direct = await TestDatabase.NewAsync();
        var through = _pooler.Through(direct.ConnectionString);
        var slow = TestWorker.Quick with { PollInterval = TimeSpan.FromMinutes(1), LeasePeriod = TimeSpan.FromMinutes(10) };
        await using var worker = await TestWorker.StartAsync(
            through, engine => engine.AddWorkflow<MedleyChild>("medley child").ListenThrough(direct.ConnectionString), slow);
        await Eventually.TrueAsync(
            async () => await direct.ScalarAsync<long>(
                "select count(*) from pg_stat_activity where application_name = 'exporter listen' and query = 'listen engine' and state = 'idle' and datname = current_database()") == 1,
            "it listens");
        var clock = Stopwatch.StartNew();
        var run = await worker.Client.StartAsync("medley child", 7, new StartOptions { Queue = TestWorker.Queue });
        Assert.That(await worker.Client.ResultAsync<int>(run.RunId), Is.EqualTo(7));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(30)));
    }

    [Test]
    public async Task Runs_go_on_when_the_pooler_was_restarted_in_their_midst()
    {
        await using var direct = await TestDatabase.NewAsync();
        await direct.ExecuteAsync(Medley.Table);
        await using var pooler = await PgBouncer.StartAsync(TestPostgres.Server, PoolSize);
        await using var worker = await WorkerAsync(pooler.Through(direct.ConnectionString), new RecordedLog());
        var all = Medley.RunManyAsync(TestWorker.ClientOf(direct.Data), 60);
        await Eventually.TrueAsync(
            async () => await direct.ScalarAsync<long>("select count(*) from engine.runs where state = 'completed' and workflow = 'medley'") >= 5, "some runs are final");
        await pooler.RestartAsync();
        await all;
        Assert.That(await Medley.WrongAsync(direct), Is.Zero);
    }

    private static Task<TestWorker> WorkerAsync(string connectionString, RecordedLog log) =>
        TestWorker.StartAsync(
            connectionString, Medley.Add, CodeWorker.Patient, services => services.AddSingleton<ILoggerProvider>(log));
}
