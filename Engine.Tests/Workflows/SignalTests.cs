using Exporter.Engine.Client;

namespace Exporter.Engine.Tests.Workflows;

/// <summary>A signal reaches its run whenever it is sent, and once.</summary>
public sealed class SignalTests
{
    [Test]
    public async Task A_signal_sent_before_the_wait_is_there()
    {
        await using var database = await TestDatabase.NewAsync();
        var client = TestWorker.ClientOf(database.Data);
        var run = (await client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue })).RunId;
        await client.SignalAsync(run, "number", 7);
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) => (await run.WaitForSignalAsync<int>("number"))!.Value);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(7));
        Assert.That(await database.ScalarAsync<int>("select taken_place from engine.signals"), Is.Zero);
    }

    [TestCase(100)]
    [TestCase(60_000)]
    public async Task A_signal_reaches_a_run_that_waits(int longestWaitInSlot)
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(
            database,
            async (run, _) => (await run.WaitForSignalAsync<int>("number"))!.Value,
            CodeWorker.Patient with { LongestWaitInSlot = TimeSpan.FromMilliseconds(longestWaitInSlot) });
        var run = await worker.BeginAsync();
        await worker.IsAsync(run, RunState.Waiting);
        Assert.That(await worker.Client.SignalAsync(run, "number", 8), Is.True);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(8));
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.step_record"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_wait_in_its_slot_is_woken_at_once()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(
            database,
            async (run, _) => (await run.WaitForSignalAsync<int>("number", TimeSpan.FromSeconds(50)))!.Value,
            TestWorker.Quick with { LongestWaitInSlot = TimeSpan.FromMinutes(1) });
        var run = await worker.BeginAsync();
        await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.step_record") == 1, "the wait has begun");
        await worker.Client.SignalAsync(run, "number", 9);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(9));
        Assert.That(await database.ScalarAsync<long>("select epoch from engine.runs"), Is.EqualTo(1), "it never left its slot");
    }

    [Test]
    public async Task Signals_of_one_name_are_taken_in_order_and_each_once_though_workers_come_and_go()
    {
        const int Signals = 30;
        await using var database = await TestDatabase.NewAsync();
        async Task<int> Sum(Engine.Workflows.IWorkflowContext run)
        {
            var last = 0;
            for (var number = 1; number <= Signals; number++)
            {
                var signal = await run.WaitForSignalAsync<int>("number");
                last = signal!.Value == last + 1 ? signal.Value : throw new InvalidDataException($"{signal.Value} after {last}");
            }

            return last;
        }

        var client = TestWorker.ClientOf(database.Data);
        var run = (await client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue })).RunId;
        var sent = Task.Run(async () =>
        {
            for (var number = 1; number <= Signals; number++)
            {
                await client.SignalAsync(run, "number", number, $"key {number}");
                Assert.That(await client.SignalAsync(run, "number", -1, $"key {number}"), Is.False);
            }
        });
        for (var round = 0; round < 3; round++)
        {
            await using var worker = await CodeWorker.StartAsync(
                database, (context, _) => Sum(context), CodeWorker.Patient with { ShutdownGrace = TimeSpan.Zero });
            var goal = (round + 1) * Signals / 3;
            await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.step_record") >= goal, $"{goal} are taken");
        }

        await sent;
        await using var last = await CodeWorker.StartAsync(database, (context, _) => Sum(context));
        Assert.That(await last.ResultAsync(run), Is.EqualTo(Signals));
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.signals where taken_place is null"), Is.Zero);
    }

    [Test]
    public async Task A_wait_with_a_timeout_ends_without_a_signal_and_stays_so()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            var none = await run.WaitForSignalAsync<int>("never", TimeSpan.FromMilliseconds(400));
            await run.SleepAsync(TimeSpan.FromSeconds(1));
            return none is null ? 1 : 0;
        });
        var run = await worker.BeginAsync();
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(1));
        Assert.That(await database.ScalarAsync<long>("select epoch from engine.runs"), Is.GreaterThan(1), "the waits gave the slot back");
    }

    [Test]
    public async Task Two_waits_at_once_each_take_their_signal()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            var one = run.WaitForSignalAsync<int>("one");
            var two = run.WaitForSignalAsync<int>("two");
            return (await one)!.Value + (await two)!.Value;
        });
        var run = await worker.BeginAsync();
        await worker.IsAsync(run, RunState.Waiting);
        await worker.Client.SignalAsync(run, "two", 20);
        await worker.Client.SignalAsync(run, "one", 1);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(21));
    }

    [Test]
    public async Task A_signal_that_carries_something_else_fails_the_run_and_says_which()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) => (await run.WaitForSignalAsync<int>("number"))!.Value);
        var run = await worker.BeginAsync();
        await worker.Client.SignalAsync(run, "number", "seven");
        Assert.That((await worker.FailureAsync(run)).Message, Does.Contain("Signal \"number\" does not carry a Int32"));
    }

    [Test]
    public async Task A_final_run_takes_no_signal()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, (_, input) => Task.FromResult(input));
        var run = await worker.BeginAsync();
        await worker.ResultAsync(run);
        await Assert.ThrowsAsync<KeyNotFoundException>(async () => await worker.Client.SignalAsync(run, "late", 1));
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.signals"), Is.Zero);
    }
}
