using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Engine.Tests.Storage;

/// <summary>Two connections race for one run: a holder that writes, and a takeover.</summary>
public sealed class FenceTests
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);
    private readonly Guid _holder = Guid.CreateVersion7();
    private readonly Guid _other = Guid.CreateVersion7();
    private TestDatabase _database = null!;
    private static readonly WorkflowOffer Any = new([("any", 1)]);
    private Guid _runId;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        _runId = (await TestWorker.ClientOf(_database.Data).StartAsync("any", 1, new StartOptions { Queue = "q" })).RunId;
        await Store(_holder).RegisterAsync("holder", "q", 1, Long, Any, default);
        await Store(_other).RegisterAsync("other", "q", 1, Long, Any, default);
        Assert.That((await Store(_holder).ClaimAsync("q", Any, 1, default)).Single().Epoch, Is.EqualTo(1));
    }

    [TearDown]
    public ValueTask EndAsync() => _database.DisposeAsync();

    [Test]
    public async Task A_write_under_an_old_epoch_changes_nothing_and_says_so()
    {
        await LoseAsync();
        Assert.That((await Store(_other).SweepAsync(Long, default)).Freed, Is.EqualTo(1));
        foreach (var kind in Enum.GetValues<WriteKind>().Where(kind => kind != WriteKind.Log))
        {
            Assert.That(await Writes(_holder).CommitAsync([WriteOf(kind, 1)], again: true, default), Is.Empty, kind.ToString());
        }

        Assert.That((await Store(_other).ClaimAsync("q", Any, 1, default)).Single().Epoch, Is.EqualTo(3));
        Assert.That(await Writes(_holder).CommitAsync([WriteOf(WriteKind.Record, 3)], again: true, default), Is.Empty, "the epoch alone is not enough");
        Assert.That(
            await _database.ScalarAsync<long>(
                "select (select count(*) from engine.step_record) + (select count(*) from engine.attempt_record) + (select count(*) from engine.open_step) + (select count(*) from engine.outcome)"),
            Is.Zero);
        Assert.That(await Writes(_other).CommitAsync([WriteOf(WriteKind.Record, 3)], again: true, default), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_takeover_passes_by_a_run_on_which_a_write_is_under_way()
    {
        await LoseAsync();
        var written = await Writes(_holder).CommitWithAsync(
            _runId,
            1,
            Long,
            async (_, token) =>
            {
                Assert.That((await Store(_other).SweepAsync(Long, token)).Freed, Is.Zero, "the write holds the run");
                return WriteOf(WriteKind.Record, 1);
            },
            default);
        Assert.That(written, Is.True, "it began before the takeover");
        Assert.That((await Store(_other).SweepAsync(Long, default)).Freed, Is.EqualTo(1), "and now the run is free");
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.step_record"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_write_that_meets_a_takeover_under_way_waits_for_it_and_is_refused()
    {
        await LoseAsync();
        await using var connection = await _database.Data.OpenConnectionAsync();
        await using var takeover = await connection.BeginTransactionAsync();
        await using (var mark = new NpgsqlCommand("update engine.worker set state = 'lost' where worker_id = $1", connection, takeover) { Parameters = { new() { Value = _holder } } })
        {
            await mark.ExecuteNonQueryAsync();
        }

        await using (var release = new NpgsqlCommand(SqlFile.Load(typeof(WorkerStore).Assembly, "sql/worker.sql")["ReleaseLost"], connection, takeover))
        {
            await release.ExecuteNonQueryAsync();
        }

        var write = Writes(_holder).CommitAsync([WriteOf(WriteKind.Record, 1)], again: true, default);
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 1, "the write waits");
        await takeover.CommitAsync();
        Assert.That(await write, Is.Empty);
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.step_record"), Is.Zero);
    }

    [Test]
    public async Task A_session_that_is_frozen_in_a_transaction_cannot_keep_a_lost_workers_run()
    {
        await LoseAsync();
        var database = new EngineDatabase(_database.ConnectionString);
        await using var data = database.OpenFor(_holder, 2);
        await using var frozen = await data.OpenConnectionAsync();
        await using var transaction = await frozen.BeginTransactionAsync();
        await using (var held = new NpgsqlCommand("select 1 from engine.live_run for key share", frozen, transaction))
        {
            await held.ExecuteNonQueryAsync();
        }

        await Eventually.TrueAsync(async () => (await Store(_other).SweepAsync(Short, default)).Freed == 1, "the run is freed");
    }

    [Test]
    public async Task A_repeated_batch_is_recorded_once()
    {
        var writes = new[] { WriteOf(WriteKind.Record, 1), WriteOf(WriteKind.FailedAttempt, 1) };
        Assert.That(await Writes(_holder).CommitAsync(writes, again: true, default), Has.Count.EqualTo(1));
        Assert.That(await Writes(_holder).CommitAsync(writes, again: true, default), Has.Count.EqualTo(1));
        Assert.That(await _database.ScalarAsync<long>("select (select count(*) from engine.step_record) + (select count(*) from engine.attempt_record)"), Is.EqualTo(2));
    }

    [Test]
    public async Task A_lost_worker_claims_nothing()
    {
        await LoseAsync();
        await Store(_other).SweepAsync(Long, default);
        Assert.That(await Store(_holder).ClaimAsync("q", Any, 1, default), Is.Empty);
        Assert.That(await Store(_holder).RenewAsync(Long), Is.False);
    }

    [Test]
    public async Task Runs_that_a_worker_holds_and_does_not_know_of_are_given_back()
    {
        await Store(_holder).GiveBackStraysAsync([_runId], default);
        Assert.That(await _database.ScalarAsync<string>("select state from engine.runs"), Is.EqualTo("running"));
        await Store(_holder).GiveBackStraysAsync([], default);
        Assert.That(await _database.ScalarAsync<string>("select state from engine.runs"), Is.EqualTo("queued"));
    }

    [Test]
    public async Task Many_workers_claim_each_run_once()
    {
        var client = TestWorker.ClientOf(_database.Data);
        await Task.WhenAll(Enumerable.Range(0, 300).Select(number => client.StartAsync("any", number, new StartOptions { Queue = "many" })));
        var workers = Enumerable.Range(0, 8).Select(_ => Guid.CreateVersion7()).ToArray();
        var claimed = await Task.WhenAll(workers.Select(async worker =>
        {
            await Store(worker).RegisterAsync("racer", "many", 1, Long, Any, default);
            var mine = new List<ClaimedRun>();
            while (await Store(worker).ClaimAsync("many", Any, 7, default) is { Count: > 0 } more)
            {
                mine.AddRange(more);
            }

            return mine;
        }));
        Assert.That(claimed.SelectMany(runs => runs).Select(run => run.RunId).Distinct().Count(), Is.EqualTo(300));
        Assert.That(claimed.Sum(runs => runs.Count), Is.EqualTo(300));
    }

    [Test]
    public async Task Every_statement_of_the_engine_is_valid()
    {
        var assembly = typeof(WorkerStore).Assembly;
        await using var connection = await _database.Data.OpenConnectionAsync();
        var checkedStatements = 0;
        foreach (var resource in assembly.GetManifestResourceNames().Where(name => name.StartsWith("sql/", StringComparison.Ordinal)))
        {
            var file = SqlFile.Load(assembly, resource);
            foreach (var name in file.Names)
            {
                await using var prepare = new NpgsqlCommand($"prepare s{checkedStatements++} as {file[name]}", connection);
                Assert.That(async () => await prepare.ExecuteNonQueryAsync(), Throws.Nothing, name);
            }
        }

        Assert.That(checkedStatements, Is.GreaterThan(30));
    }

    private Task<int> LoseAsync() => _database.ExecuteAsync(
        "update engine.worker set lease_until = engine.clock() - interval '1 second' where worker_id = @_holder", new { _holder });

    private WorkerStore Store(Guid worker) => new(_database.Data, worker);

    private WriteStore Writes(Guid worker) => new(_database.Data, worker);

    private Write WriteOf(WriteKind kind, long epoch) => new(kind, _runId, epoch)
    {
        Name = "step", Attempt = 1, Payload = kind == WriteKind.FailedAttempt ? null : [0, 1],
        Error = kind == WriteKind.FailedAttempt ? "broken" : null, State = "completed", Wait = kind == WriteKind.Record ? null : TimeSpan.Zero,
    };
}
