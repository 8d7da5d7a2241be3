using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>Where a commit can go wrong, one after the other: never sent, done with the answer lost, done too late.</summary>
public sealed class CommitPointTests
{
    private const string Tables = "create table done (run_id uuid not null, what text not null);";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private TestDatabase _database = null!;
    private FaultProxy _proxy = null!;
    private string _throughProxy = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        await _database.ExecuteAsync(Tables + ChaosDatabase.Tables);
        var direct = new NpgsqlConnectionStringBuilder(_database.ConnectionString);
        _proxy = FaultProxy.Start(direct.Port);
        direct.Port = _proxy.Port;
        _throughProxy = direct.ConnectionString;
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _proxy.DisposeAsync();
        await _database.DisposeAsync();
    }

    [Test]
    public async Task Nothing_is_lost_or_done_twice_when_a_connection_breaks_at_the_commit_of(
        [Values("record", "finish", "signal", "child", "transaction", "leave")] string what,
        [Values(nameof(FaultMoment.NeverArrives), nameof(FaultMoment.AnswerLost))] string moment)
    {
        var trap = new FaultTrap(Enum.Parse<FaultMoment>(moment), TextsOf(what));
        _proxy.Set(trap);
        await using var worker = await StartWorkerAsync();
        var runId = await StartRunAsync(what);
        await trap.Sprung.WaitAsync(Limit);
        trap.Release();
        await ExpectAllOnceAsync(runId);
    }

    [Test]
    public async Task Nothing_is_lost_or_done_twice_when_a_worker_dies_at_the_commit_of(
        [Values("record", "finish", "signal", "child", "transaction", "leave")] string what,
        [Values(nameof(FaultMoment.NeverArrives), nameof(FaultMoment.AnswerLost))] string moment)
    {
        var trap = new FaultTrap(Enum.Parse<FaultMoment>(moment), TextsOf(what));
        _proxy.Set(trap);
        Guid runId;
        await using (var doomed = ChaosProcess.Start("commit-points", _throughProxy))
        {
            runId = await StartRunAsync(what);
            await trap.Sprung.WaitAsync(Limit);
        }

        // It died before the message went on, or before the answer did.
        trap.Release();
        await using var heir = await StartWorkerAsync();
        await ExpectAllOnceAsync(runId);
    }

    [Test]
    public async Task A_commit_that_comes_late_and_the_next_attempt_are_done_once([Values("child", "transaction")] string what)
    {
        var trap = new FaultTrap(FaultMoment.ArrivesLate, TextsOf(what));
        _proxy.Set(trap);
        // The run keeps its slot; given back, it could not be claimed before the late commit.
        await using var worker = await StartWorkerAsync(TimeSpan.FromSeconds(30));
        var runId = await StartRunAsync(what);
        await trap.Sprung.WaitAsync(Limit);
        // The next attempt has begun and waits for the one whose commit is still on its way.
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") > 0,
            "the next attempt waits");
        trap.Release();
        Assert.That(await trap.Delivered.WaitAsync(Limit), "the late commit was answered");
        await ExpectAllOnceAsync(runId);
    }

    private static string[] TextsOf(string what) => what switch
    {
        "record" => ["-- name: RecordSteps"],
        "finish" => ["-- name: FinishRuns"],
        "leave" => ["-- name: LeaveRuns"],
        "signal" => ["-- name: TakeSignal", "COMMIT"],
        "child" => ["-- name: MarkParent", "COMMIT"],
        _ => ["insert into done", "COMMIT"],
    };

    private Task<TestWorker> StartWorkerAsync(TimeSpan longestWait = default) => TestWorker.StartAsync(
        _throughProxy,
        engine => engine.AddWorkflow<CommitPointWorkflow>("points").AddWorkflow<CommitPointChild>("points-child"),
        TestWorker.Quick with { LongestWaitInSlot = longestWait, LeasePeriod = TimeSpan.FromSeconds(5) });

    // Both signals are there before the first wait, so that a signal taken twice would be the second one. A run gives its slot
    // back only after a moment in which it did nothing but wait.
    private async Task<Guid> StartRunAsync(string what)
    {
        var sleep = what == "leave" ? 1000 : 100;
        var client = TestWorker.ClientOf(_database.Data);
        await using var connection = await _database.Data.OpenConnectionAsync();
        var runId = (await client.StartAsync("points", sleep, new StartOptions { Queue = TestWorker.Queue, StartAt = DateTimeOffset.MaxValue.AddYears(-1000) })).RunId;
        await client.SignalAsync(runId, "go", "one");
        await client.SignalAsync(runId, "go", "two");
        await _database.ExecuteAsync("update engine.live_run set due_at = engine.clock()");
        return runId;
    }

    private async Task ExpectAllOnceAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(Limit);
        var output = await TestWorker.ClientOf(_database.Data).ResultAsync<string>(runId, deadline.Token);
        Assert.That(output, Is.EqualTo("first one two child committed"));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from done"), Is.EqualTo(1), "the row of the transaction is there once");
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs where workflow = 'points-child'"), Is.EqualTo(1), "one child");
        Assert.That(
            await _database.ScalarAsync<string>("select string_agg(taken_place::text, ',' order by signal_id) from engine.signal"), Is.EqualTo("2,3"), "each wait took its signal");
        Assert.That(
            await _database.ScalarAsync<string>("select string_agg(name, ',' order by place) from engine.step_record s join engine.run r using (run_id) where r.workflow = 'points'"),
            Is.EqualTo("first,sleep,signal go,signal go,child points-child,child result,committed"));
    }
}

/// <summary>A commit of each kind.</summary>
internal sealed class CommitPointWorkflow : IWorkflow<int, string>
{
    public async Task<string> RunAsync(IWorkflowContext run, int sleep)
    {
        var first = await run.StepAsync("first", _ => Task.FromResult("first"));
        await run.SleepAsync(TimeSpan.FromMilliseconds(sleep));
        var one = await run.WaitForSignalAsync<string>("go");
        var two = await run.WaitForSignalAsync<string>("go");
        var child = await run.ChildResultAsync<string>(await run.StartChildAsync("points-child", 1));
        var options = new StepOptions { Retry = new RetryPolicy { InitialInterval = TimeSpan.FromMilliseconds(50) } };
        var committed = await run.StepInTransactionAsync(
            "committed",
            async (step, transaction) =>
            {
                await transaction.Connection!.ExecuteAsync("insert into done values (@RunId, 'committed')", new { step.RunId }, transaction);
                return "committed";
            },
            options);
        return $"{first} {one!.Value} {two!.Value} {child} {committed}";
    }
}

internal sealed class CommitPointChild : IWorkflow<int, string>
{
    public Task<string> RunAsync(IWorkflowContext run, int input) => Task.FromResult("child");
}
