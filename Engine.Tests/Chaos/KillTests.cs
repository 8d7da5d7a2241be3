using Exporter.Engine.Client;
using Exporter.Engine.Observability;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>Worker processes are killed with SIGKILL and frozen with SIGSTOP; then rows are counted.</summary>
public sealed class KillTests
{
    private const int Killed = 128 + 9;
    private TestDatabase _database = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _database = await TestDatabase.NewAsync();
        await _database.ExecuteAsync(ChaosDatabase.Tables);
    }

    [TearDown]
    public ValueTask EndAsync() => _database.DisposeAsync();

    [TestCase(nameof(WorkerMoment.Claimed), "")]
    [TestCase(nameof(WorkerMoment.AttemptStarted), "first")]
    [TestCase(nameof(WorkerMoment.AttemptStarted), "part")]
    [TestCase(nameof(WorkerMoment.Checkpointed), "checkpoints")]
    [TestCase(nameof(WorkerMoment.StepRecorded), "first")]
    [TestCase(nameof(WorkerMoment.StepRecorded), "part")]
    [TestCase(nameof(WorkerMoment.StepRecorded), "last")]
    [TestCase(nameof(WorkerMoment.CodeEnded), "")]
    public async Task A_run_survives_a_worker_killed_at(string moment, string step)
    {
        var runId = await StartRunAsync("plain");
        await using (var doomed = ChaosProcess.Start(_database.ConnectionString, moment, step))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = ChaosProcess.Start(_database.ConnectionString);
        await ExpectCompleteAsync(runId);
        Assert.That(await _database.ScalarAsync<long>("select epoch from engine.runs"), Is.GreaterThan(1), "it was claimed again");
    }

    [Test]
    public async Task A_run_survives_a_worker_killed_during_shutdown()
    {
        var runId = await StartRunAsync("stop");
        await using (var doomed = ChaosProcess.Start(_database.ConnectionString, nameof(WorkerMoment.Stopping), ""))
        {
            await Eventually.TrueAsync(() => NotedAsync("slow"), "the step is in progress");
            await doomed.SignalAsync("TERM");
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = ChaosProcess.Start(_database.ConnectionString);
        await ExpectCompleteAsync(runId);
    }

    [Test]
    public async Task A_worker_that_is_stopped_gives_its_runs_back_at_once()
    {
        var runId = await StartRunAsync("stop");
        await using (var stopped = ChaosProcess.Start(_database.ConnectionString))
        {
            await Eventually.TrueAsync(() => NotedAsync("slow"), "the step is in progress");
            await stopped.SignalAsync("TERM");
            Assert.That(await stopped.ExitAsync(), Is.Zero);
        }

        Assert.That(await _database.ScalarAsync<string>("select state from engine.runs"), Is.EqualTo("queued"));
        Assert.That(await _database.ScalarAsync<string>("select state from engine.workers"), Is.EqualTo("stopped"));
        await using var heir = ChaosProcess.Start(_database.ConnectionString);
        await ExpectCompleteAsync(runId);
    }

    [Test]
    public async Task A_worker_frozen_past_its_lease_is_refused_when_it_goes_on()
    {
        var runId = await StartRunAsync("zombie");
        await using var zombie = ChaosProcess.Start(_database.ConnectionString);
        await Eventually.TrueAsync(() => NotedAsync("zombie"), "the step is in progress");
        await zombie.SignalAsync("STOP");
        await using var heir = ChaosProcess.Start(_database.ConnectionString);
        await ExpectCompleteAsync(runId);
        var before = await TracesAsync();
        await _database.ExecuteAsync("insert into gate values ('zombie')");
        await zombie.SignalAsync("CONT");
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select coalesce(sum(refused_writes), 0) from engine.workers where state = 'lost'") > 0,
            "the zombie's writes are refused and counted");
        Assert.That(await TracesAsync(), Is.EqualTo(before), "they changed nothing");
    }

    private async Task<Guid> StartRunAsync(string input) =>
        (await TestWorker.ClientOf(_database.Data).StartAsync("chaos", input, new StartOptions { Queue = TestWorker.Queue })).RunId;

    private async Task<bool> NotedAsync(string what) =>
        await _database.ScalarAsync<bool>("select exists (select 1 from effect where what = @what)", new { what });

    private Task<string?> TracesAsync() => _database.ScalarAsync<string>(
        """
        select (select string_agg(s::text, ';' order by place) from engine.step_record s)
          || (select string_agg(c::text, ';' order by what) from committed c) || (select o::text from engine.outcome o)
        """);

    private async Task ExpectCompleteAsync(Guid runId)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var output = await TestWorker.ClientOf(_database.Data).ResultAsync<int>(runId, deadline.Token);
        Assert.That(output, Is.EqualTo(ChaosWorkflow.Checkpoints + Enumerable.Range(0, ChaosWorkflow.Parts).Sum()));
        Assert.That(
            await _database.ScalarAsync<long>("select count(*) from committed"),
            Is.EqualTo(ChaosWorkflow.Checkpoints + 1),
            "each committed row is there, once");
        Assert.That(
            await _database.ScalarAsync<long>("select count(*) from engine.step_record where error is null"),
            Is.EqualTo(await _database.ScalarAsync<long>("select count(distinct place) from engine.step_record")),
            "each step is recorded, once");
        Assert.That(
            await _database.ScalarAsync<long>("select count(distinct what) from effect where what like 'part %'"),
            Is.EqualTo(ChaosWorkflow.Parts));
        Assert.That(
            await _database.ScalarAsync<long>("select count(*) from engine.live_run") + await _database.ScalarAsync<long>("select count(*) from engine.open_step"),
            Is.Zero,
            "nothing is left of it");
    }
}
