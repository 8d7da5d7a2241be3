using Exporter.Engine.Client;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Exporter.Engine.Tests.Testing;

/// <summary>Days pass within moments, and what falls due in them happens at its time.</summary>
[CancelAfter(60_000)]
public sealed class TestEngineTests
{
    [Test]
    public async Task A_sleep_of_thirty_days_ends_when_thirty_days_have_passed()
    {
        await using var engine = await StartAsync(async (run, _) =>
        {
            await run.SleepAsync(TimeSpan.FromDays(30));
            return 1;
        });
        var began = engine.Now;
        var run = await BeginAsync(engine);
        await engine.AdvanceAsync(TimeSpan.FromDays(29));
        Assert.That((await engine.Client.GetAsync(run))!.State.IsFinal(), Is.False);
        await engine.AdvanceAsync(TimeSpan.FromDays(1));
        var status = (await engine.Client.GetAsync(run))!;
        Assert.That(status.State, Is.EqualTo(RunState.Completed));
        Assert.That(status.FinishedAt - began, Is.EqualTo(TimeSpan.FromDays(30)).Within(TimeSpan.FromMinutes(1)));
    }

    [TestCase(1)]
    [TestCase(24 * 30)]
    public async Task Ten_sleeps_end_within_one_jump_whether_they_keep_their_slot_or_not(int hours)
    {
        var seen = new List<DateTimeOffset>();
        TestEngine? engine = null;
        await using var started = engine = await StartAsync(async (run, _) =>
        {
            // Code that comes back from a long wait begins anew.
            seen.Clear();
            for (var n = 0; n < 10; n++)
            {
                await run.SleepAsync(TimeSpan.FromHours(hours));
                seen.Add(await run.StepAsync("look", _ => Task.FromResult(engine!.Now)));
            }

            return seen.Count;
        });
        var run = await BeginAsync(engine);
        await engine.AdvanceAsync(TimeSpan.FromHours(10 * hours));
        Assert.That((await engine.Client.GetAsync(run))!.State, Is.EqualTo(RunState.Completed));
        Assert.That(await engine.Client.ResultAsync<int>(run), Is.EqualTo(10));
        Assert.That(
            seen.Zip(seen.Skip(1), (one, next) => (next - one).TotalHours), Is.All.EqualTo(hours).Within(0.01), "each at its time");
        Assert.That(await CountAsync(engine, "select count(*) from engine.workers where state <> 'active'"), Is.Zero, "no lease was lost");
    }

    [Test]
    public async Task A_step_is_tried_again_after_an_hour()
    {
        var attempts = 0;
        await using var engine = await StartAsync(async (run, _) => await run.StepAsync(
            "fail twice",
            step => step.Attempt < 3 ? throw new IOException("not yet") : Task.FromResult(attempts = step.Attempt),
            new StepOptions
            {
                Retry = new RetryPolicy { InitialInterval = TimeSpan.FromHours(1), MaximumInterval = TimeSpan.FromHours(9), Jitter = 0 },
            }));
        var run = await BeginAsync(engine);
        await engine.AdvanceAsync(TimeSpan.FromHours(2.9));
        Assert.That(attempts, Is.Zero);
        await engine.AdvanceAsync(TimeSpan.FromHours(0.1));
        Assert.That(attempts, Is.EqualTo(3));
        Assert.That(await engine.Client.ResultAsync<int>(run), Is.EqualTo(3));
    }

    [Test]
    public async Task A_wait_for_a_signal_times_out()
    {
        await using var engine = await StartAsync(
            async (run, _) => await run.WaitForSignalAsync<int>("never", TimeSpan.FromDays(3)) is null ? 1 : 0);
        var run = await BeginAsync(engine);
        await engine.AdvanceAsync(TimeSpan.FromDays(3));
        Assert.That((await engine.Client.GetAsync(run))!.State, Is.EqualTo(RunState.Completed));
        Assert.That(await engine.Client.ResultAsync<int>(run), Is.EqualTo(1));
    }

    [Test]
    public async Task A_signal_in_time_is_taken()
    {
        await using var engine = await StartAsync(
            async (run, _) => (await run.WaitForSignalAsync<int>("number", TimeSpan.FromDays(3)))?.Value ?? 0);
        var run = await BeginAsync(engine);
        await engine.AdvanceAsync(TimeSpan.FromDays(2));
        await engine.Client.SignalAsync(run, "number", 7);
        await engine.AdvanceAsync(TimeSpan.FromDays(2));
        Assert.That(await engine.Client.ResultAsync<int>(run), Is.EqualTo(7));
    }

    [Test]
    public async Task A_daily_schedule_fires_thirty_times_in_thirty_days()
    {
        await using var engine = await StartAsync(
            (run, input) => run.StepAsync("add", _ => Task.FromResult(input + 1)),
            new DateTimeOffset(2026, 3, 1, 12, 0, 0, TimeSpan.Zero));
        await engine.Schedules.PutAsync(
            new Schedule { Id = "daily", Workflow = "code", Spec = new ScheduleSpec { Cron = "0 2 * * *" } }, 1);
        await engine.AdvanceAsync(TimeSpan.FromDays(30));
        var runs = await engine.Client.ListAsync();
        Assert.That(runs, Has.Count.EqualTo(30));
        Assert.That(runs.Select(run => run.State), Is.All.EqualTo(RunState.Completed));
        Assert.That(runs[^1].CreatedAt, Is.EqualTo(new DateTimeOffset(2026, 3, 2, 2, 0, 0, TimeSpan.Zero)).Within(TimeSpan.FromMinutes(1)));
    }

    [Test]
    public async Task An_execution_timeout_ends_a_run()
    {
        await using var engine = await StartAsync(async (run, _) => (await run.WaitForSignalAsync<int>("never"))!.Value);
        var run = await BeginAsync(engine, new StartOptions { ExecutionTimeout = TimeSpan.FromHours(6) });
        await engine.AdvanceAsync(TimeSpan.FromHours(5));
        Assert.That((await engine.Client.GetAsync(run))!.State, Is.EqualTo(RunState.Waiting).Or.EqualTo(RunState.Running));
        await engine.AdvanceAsync(TimeSpan.FromHours(1));
        Assert.That((await engine.Client.GetAsync(run))!.State, Is.EqualTo(RunState.TimedOut));
    }

    [Test]
    public async Task An_attempt_that_hangs_runs_into_its_timeout()
    {
        await using var engine = await StartAsync(async (run, _) => await run.StepAsync(
            "hang once",
            async step =>
            {
                if (step.Attempt == 1)
                {
                    await Task.Delay(Timeout.Infinite, step.CancellationToken);
                }

                return step.Attempt;
            },
            new StepOptions { StartToClose = TimeSpan.FromMinutes(10) }));
        var run = await BeginAsync(engine);
        await engine.AdvanceAsync(TimeSpan.FromMinutes(10));
        Assert.That(await engine.RunToEndAsync<int>(run), Is.EqualTo(2));
    }

    [Test]
    public async Task A_run_is_carried_to_its_end_over_timers_and_children()
    {
        await using var engine = await StartAsync(async (run, depth) =>
        {
            await run.SleepAsync(TimeSpan.FromDays(10));
            return depth == 0 ? 1 : 1 + await run.ChildResultAsync<int>(await run.StartChildAsync("code", depth - 1));
        });
        var began = engine.Now;
        var run = (await engine.Client.StartAsync("code", 2)).RunId;
        Assert.That(await engine.RunToEndAsync<int>(run), Is.EqualTo(3));
        Assert.That(engine.Now - began, Is.EqualTo(TimeSpan.FromDays(30)).Within(TimeSpan.FromMinutes(1)));
    }

    [Test]
    public async Task A_run_that_no_time_ends_says_so()
    {
        await using var engine = await StartAsync(async (run, _) => (await run.WaitForSignalAsync<int>("never"))!.Value);
        var run = await BeginAsync(engine);
        var error = await Assert.ThrowsAsync<InvalidOperationException>(async () => await engine.RunToEndAsync<int>(run));
        Assert.That(error!.Message, Does.Contain("nothing falls due by itself"));
    }

    [Test]
    public async Task It_brings_a_server_of_its_own_and_drops_its_database_on_that_of_others()
    {
        var engine = await TestEngine.StartAsync(_ => { });
        var database = engine.ConnectionString;
        await engine.DisposeAsync();
        await Assert.ThrowsAsync<NpgsqlException>(async () => await EngineSchemaOf(database));

        engine = await StartAsync((_, input) => Task.FromResult(input));
        database = engine.ConnectionString;
        await engine.DisposeAsync();
        await Assert.ThrowsAsync<PostgresException>(async () => await EngineSchemaOf(database));
    }

    private static Task EngineSchemaOf(string database) =>
        EngineSchema.MigrateAsync(new NpgsqlConnectionStringBuilder(database) { Pooling = false }.ConnectionString);

    private static Task<TestEngine> StartAsync(Func<IWorkflowContext, int, Task<int>> code, DateTimeOffset? startAt = null) => TestEngine.StartAsync(
        engine =>
        {
            engine.Services.AddSingleton(new Code(code));
            engine.AddWorkflow<Code>("code");
        },
        new TestEngineOptions { Server = TestPostgres.Server, StartAt = startAt });

    private static async Task<Guid> BeginAsync(TestEngine engine, StartOptions? options = null) =>
        (await engine.Client.StartAsync("code", 0, options)).RunId;

    private static async Task<long> CountAsync(TestEngine engine, string sql)
    {
        await using var command = engine.Data.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
