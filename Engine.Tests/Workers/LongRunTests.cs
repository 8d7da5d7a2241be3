using Exporter.Engine.Client;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Workers;

/// <summary>What users of queues with a visibility timeout report: long jobs started twice, jobs lost or held up by a shutdown.</summary>
public sealed class LongRunTests
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(2);

    [Test]
    public async Task A_run_that_takes_several_leases_is_started_once_though_other_workers_wait_for_work()
    {
        await using var database = await TestDatabase.NewAsync();
        var started = 0;
        var cancelled = 0;
        async Task<int> LongAsync(IWorkflowContext run, int input) => await run.StepAsync("long", async step =>
        {
            Interlocked.Increment(ref started);
            using var told = step.CancellationToken.Register(() => Interlocked.Increment(ref cancelled));
            await Task.Delay(Lease * 3, step.CancellationToken);
            return input;
        });
        await using var first = await CodeWorker.StartAsync(database, LongAsync, CodeWorker.Patient with { Slots = 1, LeasePeriod = Lease });
        await using var second = await CodeWorker.StartAsync(database, LongAsync, CodeWorker.Patient with { Slots = 1, LeasePeriod = Lease });
        await using var third = await CodeWorker.StartAsync(database, LongAsync, CodeWorker.Patient with { Slots = 1, LeasePeriod = Lease });
        var runs = new[] { await first.BeginAsync(1), await first.BeginAsync(2) };
        Assert.That(await first.ResultAsync(runs[0]), Is.EqualTo(1));
        Assert.That(await first.ResultAsync(runs[1]), Is.EqualTo(2));
        Assert.That((started, cancelled), Is.EqualTo((2, 0)), "each was started once, and nobody was told to stop");
        Assert.That(await database.ScalarAsync<long>("select max(epoch) from engine.runs"), Is.EqualTo(1));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.attempts"), Is.EqualTo(2));
    }

    [Test]
    public async Task Code_that_blocks_its_threads_for_longer_than_the_lease_does_not_cost_the_worker_its_lease()
    {
        await using var database = await TestDatabase.NewAsync();
        var blocking = Environment.ProcessorCount * 8;
        var started = 0;
        using var never = new ManualResetEventSlim();
        Task<int> BlockAsync(IWorkflowContext run, int input) => run.StepAsync("block", _ =>
        {
            Interlocked.Increment(ref started);
            never.Wait(Lease * 2);
            return Task.FromResult(input);
        });
        var options = CodeWorker.Patient with { Slots = blocking, LeasePeriod = Lease };
        await using var first = await CodeWorker.StartAsync(database, BlockAsync, options);
        var runs = await first.Client.StartManyAsync(
            "code", [.. Enumerable.Range(0, blocking).Select(number => (number, (StartOptions?)new StartOptions { Queue = TestWorker.Queue }))]);
        for (var number = 0; number < blocking; number++)
        {
            Assert.That(await first.ResultAsync(runs[number].RunId), Is.EqualTo(number));
        }

        Assert.That(started, Is.EqualTo(blocking));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.workers where state = 'lost'"), Is.Zero);
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_run_that_executes_when_its_worker_shuts_down_is_queued_again_and_done_by_the_next_long_before_the_lease_ends(bool heedsToken)
    {
        await using var database = await TestDatabase.NewAsync();
        var started = 0;
        using var end = new CancellationTokenSource();
        async Task<int> LongAsync(IWorkflowContext run, int input) => await run.StepAsync("long", async step =>
        {
            if (Interlocked.Increment(ref started) == 1)
            {
                await Task.Delay(Timeout.Infinite, heedsToken ? step.CancellationToken : end.Token);
            }

            return input;
        });
        var options = CodeWorker.Patient with
        {
            LeasePeriod = TimeSpan.FromMinutes(10),
            ShutdownGrace = TimeSpan.FromMilliseconds(200),
            CancelGrace = TimeSpan.FromMilliseconds(200),
        };
        await using var first = await CodeWorker.StartAsync(database, LongAsync, options);
        var run = await first.BeginAsync(5);
        await Eventually.TrueAsync(() => Volatile.Read(ref started) == 1, "the run executes");
        await first.StopAsync();
        await using var second = await CodeWorker.StartAsync(database, LongAsync, options);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        Assert.That(await second.Client.ResultAsync<int>(run, patience.Token), Is.EqualTo(5));
        Assert.That(started, Is.EqualTo(2));
        await end.CancelAsync();
    }
}
