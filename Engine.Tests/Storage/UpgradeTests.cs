using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Tests.Storage;

/// <summary>The schema is upgraded while workers are there, with runs in every state.</summary>
public sealed class UpgradeTests
{
    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(4)]
    public async Task Workers_wait_for_the_upgrade_of_an_older_schema_and_then_end_its_runs_with_all_they_had_recorded(int version)
    {
        await using var database = await OldSchema.NewAsync(version);
        await database.ExecuteAsync("create table effect (run_id uuid, step text)");
        var log = new RecordedLog();
        await using var worker = await TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code"),
            CodeWorker.Patient,
            services => services.AddSingleton(new Code((run, input) => RunAsync(database, run, input))).AddSingleton<ILoggerProvider>(log));
        await Eventually.TrueAsync(() => log.Lines.Any(line => line.Id == 106), "it says that the schema is too old");
        var said = log.Lines.Single(line => line.Level >= LogLevel.Warning);
        Assert.That(said.Text, Does.Contain("exporter migrate").And.Contain($"/{version + 1:0000}_").And.Not.Contain($"/{version:0000}_"));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.worker where name <> 'old'"), Is.Zero, "it waits");
        Assert.That(await EngineSchema.MigrateAsync(database.ConnectionString), Is.Not.Empty);

        async Task EndsAsync(int run, int sum) => Assert.That(await worker.ResultAsync(Id(run)), Is.EqualTo(sum), $"run {run}");
        await EndsAsync(1, 1 + 11);
        await EndsAsync(2, 2 + 1000 + 7);
        await EndsAsync(3, 3 + 1000 + 10);
        await EndsAsync(4, 4 + 1000 + 10);
        await EndsAsync(5, 1015);
        Assert.That((await worker.FailureAsync(Id(6))).Message, Does.Contain("No luck"));
        Assert.That(await worker.Client.RetryAsync(Id(6)), Is.True);
        await EndsAsync(6, 6 + 11);
        await Eventually.TrueAsync(
            async () => await database.ScalarAsync<long>("select count(*) from engine.runs where schedule_id = 'old' and state = 'completed'") >= 2, "the old schedule fires");
        if (version >= 2)
        {
            await EndsAsync(11, 60 + 11);
            await Eventually.TrueAsync(
                async () => await database.ScalarAsync<long>("select count(*) from engine.runs where schedule_id = 'buffered' and state = 'completed'") == 2, "what waited starts");
        }

        if (version >= 3)
        {
            await EndsAsync(21, 21 + 11 + 5);
            Assert.That((await worker.Client.GetAsync(Id(22)))!.State, Is.EqualTo(RunState.Paused));
            Assert.That(await worker.Client.ResumeAsync(Id(22)), Is.True);
            await EndsAsync(22, 22 + 11);
        }

        if (version >= 4)
        {
            await EndsAsync(31, 31 + 11);
            await EndsAsync(32, 32 + 11);
        }

        Assert.That(
            await database.ScalarAsync<long>("select count(*) from effect e join engine.step_record s using (run_id) where s.name = e.step and s.worker_id = '00000000-0000-0000-0000-0000000000aa'"),
            Is.Zero,
            "what was recorded is not done again");
        Assert.That(await database.ScalarAsync<long>("select count(*) from effect where run_id = @run and step = 'second'", new { run = Id(2) }), Is.EqualTo(1));
        Assert.That(
            (await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue, IdempotencyKey = "key 1" })).RunId, Is.EqualTo(Id(1)), "keys are kept");
    }

    [Test]
    public async Task A_migration_beside_busy_workers_stalls_and_loses_nothing_and_is_applied_once()
    {
        await using var database = await TestDatabase.NewAsync();
        await database.ExecuteAsync(Medley.Table);
        var log = new RecordedLog();
        await using var first = await WorkerAsync(database, log);
        await using var second = await WorkerAsync(database, log);
        using var enough = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        var all = Medley.RunManyAsync(first.Client, 150, enough.Token);
        await Eventually.TrueAsync(async () => await DoneAsync(database) >= 5, "runs are under way");

        // Somebody's long transaction, such as a dump, which a migration has to wait for.
        await using var reader = await database.Data.OpenConnectionAsync();
        await using var reading = await reader.BeginTransactionAsync();
        await reader.ExecuteAsync("select 1 from engine.live_run limit 1", transaction: reading);
        var migrations = Enumerable.Range(0, 3)
            .Select(_ => SchemaMigrator.ApplyAsync(database.ConnectionString, "engine", typeof(UpgradeTests).Assembly)).ToArray();
        await Eventually.TrueAsync(
            async () => await database.ScalarAsync<long>("select count(*) from pg_locks k join pg_database d on d.oid = k.database and d.datname = current_database() where k.mode = 'AccessExclusiveLock' and not k.granted") > 0,
            "the migration waits");
        var before = await DoneAsync(database);
        await Eventually.TrueAsync(async () => await DoneAsync(database) >= before + 10, "workers go on meanwhile");
        Assert.That(migrations.Any(migration => migration.IsCompleted), Is.False);
        await reading.RollbackAsync();
        var applied = await Task.WhenAll(migrations);
        Assert.That(applied.SelectMany(scripts => scripts), Is.EqualTo(new[] { "migrations/9999_further.sql" }));
        await all;
        Assert.That(await Medley.WrongAsync(database), Is.Zero);
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.runs where state <> 'completed'"), Is.Zero);
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.workers where refused_writes > 0 or state = 'lost'"), Is.Zero);

        // Workers that start on a schema newer than they know work with it.
        await using var late = await WorkerAsync(database, log);
        await first.StopAsync();
        await second.StopAsync();
        var run = await late.Client.StartAsync("medley child", 3, new StartOptions { Queue = TestWorker.Queue });
        Assert.That(await late.Client.ResultAsync<int>(run.RunId), Is.EqualTo(3));
        Assert.That(log.Lines.Where(line => line.Id is 103 or 106 or 400), Is.Empty);
    }

    [Test]
    public async Task A_migration_that_gets_no_lock_says_who_may_hold_it_and_leaves_nothing()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var reader = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(database.ConnectionString) { ApplicationName = "the dump" }.ConnectionString);
        await reader.OpenAsync();
        await using var reading = await reader.BeginTransactionAsync();
        await reader.ExecuteAsync("select 1 from engine.worker limit 1", transaction: reading);
        var error = await Assert.ThrowsAsync<TimeoutException>(() => SchemaMigrator.ApplyAsync(
            database.ConnectionString, "engine", typeof(UpgradeTests).Assembly, TimeSpan.FromSeconds(1), TimeProvider.System, default));
        Assert.That(error!.Message, Does.Contain("the dump"));
        Assert.That(await database.ScalarAsync<long>("select count(*) from information_schema.columns where table_schema = 'engine' and column_name = 'further'"), Is.Zero);
    }

    private static Guid Id(int run) => Guid.Parse($"00000000-0000-0000-0000-{run:000000000000}");

    private static Task<TestWorker> WorkerAsync(TestDatabase database, RecordedLog log) => TestWorker.StartAsync(
        database.ConnectionString, Medley.Add, CodeWorker.Patient with { LeasePeriod = TimeSpan.FromSeconds(10) }, services => services.AddSingleton<ILoggerProvider>(log));

    private static Task<long> DoneAsync(TestDatabase database) => database.ScalarAsync<long>("select count(*) from engine.step_record");

    private static async Task<int> RunAsync(TestDatabase database, IWorkflowContext run, int input)
    {
        Task NoteAsync(string step) => database.ExecuteAsync("insert into effect values (@RunId, @step)", new { run.RunId, step });
        var first = await run.StepAsync("first", async _ =>
        {
            await NoteAsync("first");
            return 1;
        });
        var second = await run.StepAsync("second", async step =>
        {
            await NoteAsync("second");
            return step.TryGetCheckpoint<int>(out var done) ? done : 10;
        });
        await run.SleepAsync(TimeSpan.FromMilliseconds(10));
        return input + first + second + (input == 21 ? (await run.WaitForSignalAsync<int>("go"))!.Value : 0);
    }
}
