using Exporter.Engine.Client;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Client;

/// <summary>Terminate, pause, resume, reset and timeouts, whatever the run is just doing.</summary>
public sealed class SteeringTests
{
    [TestCase(RunState.Queued)]
    [TestCase(RunState.Running)]
    [TestCase(RunState.Waiting)]
    [TestCase(RunState.Paused)]
    public async Task A_terminated_run_ends_at_once_and_its_code_is_told(RunState state)
    {
        await using var database = await TestDatabase.NewAsync();
        var stopped = new TaskCompletionSource();
        await using var worker = await CodeWorker.StartAsync(database, (run, _) => HangAsync(run, state, stopped));
        var options = new StartOptions { StartAt = state == RunState.Queued ? new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero) : null };
        var run = await worker.BeginAsync(0, options);
        if (state == RunState.Paused)
        {
            await worker.Client.PauseAsync(run);
        }

        if (state != RunState.Queued)
        {
            await worker.IsAsync(run, state);
        }

        Assert.That(await worker.Client.TerminateAsync(run, "Enough."), Is.True);
        var failure = await worker.FailureAsync(run);
        Assert.That(failure.State, Is.EqualTo(RunState.Terminated));
        Assert.That(failure.Message, Does.EndWith("Enough."));
        if (state == RunState.Running)
        {
            await stopped.Task.WaitAsync(TimeSpan.FromSeconds(10));
            await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select executing from engine.workers") == 0, "the slot is free");
        }

        Assert.That(await worker.Client.TerminateAsync(run), Is.False);
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.open_step"), Is.Zero);
    }

    [Test]
    public async Task A_paused_run_does_nothing_until_it_is_resumed()
    {
        await using var database = await TestDatabase.NewAsync();
        var steps = 0;
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            for (var step = 0; step < 1000; step++)
            {
                await run.StepAsync("count", _ => Task.FromResult(Interlocked.Increment(ref steps)));
                if ((await run.WaitForSignalAsync<int>("end", TimeSpan.FromMilliseconds(1))) is not null)
                {
                    return step;
                }
            }

            return -1;
        });
        var run = await worker.BeginAsync();
        await Eventually.TrueAsync(() => Volatile.Read(ref steps) > 5, "it is under way");
        Assert.That(await worker.Client.PauseAsync(run), Is.True);
        await worker.IsAsync(run, RunState.Paused);
        var at = Volatile.Read(ref steps);
        await worker.Client.SignalAsync(run, "end", 1);
        var other = await worker.BeginAsync();
        await worker.Client.SignalAsync(other, "end", 1);
        Assert.That(await worker.ResultAsync(other), Is.GreaterThanOrEqualTo(0), "others go on");
        Assert.That((await worker.Client.GetAsync(run))!.State, Is.EqualTo(RunState.Paused));
        Assert.That(await worker.Client.ResumeAsync(run), Is.True);
        Assert.That(await worker.ResultAsync(run), Is.GreaterThanOrEqualTo(5).And.LessThanOrEqualTo(at));
        Assert.That(await worker.Client.ResumeAsync(run), Is.False);
    }

    [Test]
    public async Task A_step_in_progress_ends_before_its_run_is_paused()
    {
        await using var database = await TestDatabase.NewAsync();
        var go = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            await run.StepAsync("long", async _ =>
            {
                begun.TrySetResult();
                await go.Task;
                return 1;
            });
            return await run.StepAsync("after", _ => Task.FromResult(2));
        });
        var run = await worker.BeginAsync();
        await begun.Task;
        await worker.Client.PauseAsync(run);
        await Eventually.TrueAsync(() => Task.FromResult(worker.Executes(run, execution => execution.IsStopping)), "the worker has heard of it");
        go.SetResult();
        await worker.IsAsync(run, RunState.Paused);
        Assert.That(await database.ScalarAsync<string>("select string_agg(name, ' ') from engine.steps where state = 'completed'"), Is.EqualTo("long"));
        await worker.Client.ResumeAsync(run);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(2));
    }

    [Test]
    public async Task A_cancel_ends_a_paused_run()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) => (await run.WaitForSignalAsync<int>("never"))!.Value);
        var run = await worker.BeginAsync();
        await worker.IsAsync(run, RunState.Waiting);
        await worker.Client.PauseAsync(run);
        await worker.IsAsync(run, RunState.Paused);
        Assert.That(await worker.Client.CancelAsync(run), Is.True);
        await worker.IsAsync(run, RunState.Cancelled);
    }

    [TestCase(RunState.Running)]
    [TestCase(RunState.Waiting)]
    public async Task A_run_that_takes_longer_than_its_execution_timeout_is_timed_out(RunState state)
    {
        await using var database = await TestDatabase.NewAsync();
        var stopped = new TaskCompletionSource();
        await using var worker = await CodeWorker.StartAsync(database, (run, _) => HangAsync(run, state, stopped));
        var run = await worker.BeginAsync(0, new StartOptions { ExecutionTimeout = TimeSpan.FromSeconds(1) });
        var failure = await worker.FailureAsync(run);
        Assert.That(failure.State, Is.EqualTo(RunState.TimedOut));
        Assert.That(failure.Message, Does.Contain("execution timeout, 00:00:01"));
        if (state == RunState.Running)
        {
            await stopped.Task.WaitAsync(TimeSpan.FromSeconds(10));
        }
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_reset_run_does_again_what_came_from_that_place_on(bool final)
    {
        await using var database = await TestDatabase.NewAsync();
        var calls = new System.Collections.Concurrent.ConcurrentQueue<string>();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            var sum = 0;
            foreach (var name in new[] { "a", "b", "c" })
            {
                sum += await run.StepAsync(name, _ =>
                {
                    calls.Enqueue(name);
                    return Task.FromResult(1);
                });
            }

            return sum + (await run.WaitForSignalAsync<int>("go"))!.Value;
        });
        var run = await worker.BeginAsync();
        if (final)
        {
            await worker.Client.SignalAsync(run, "go", 10);
            Assert.That(await worker.ResultAsync(run), Is.EqualTo(13));
        }
        else
        {
            await worker.IsAsync(run, RunState.Waiting);
        }

        Assert.That(await worker.Client.ResetAsync(run, 1), Is.True);
        if (!final)
        {
            await worker.Client.SignalAsync(run, "go", 10);
        }

        Assert.That(await worker.ResultAsync(run), Is.EqualTo(13), "the signal that was taken after the place is there again");
        Assert.That(string.Join(' ', calls), Is.EqualTo("a b c b c"));
        Assert.That(await worker.Client.ResetAsync(Guid.NewGuid(), 0), Is.False);
    }

    [Test]
    public async Task Code_cleans_up_after_a_cancel_though_its_worker_dies_meanwhile()
    {
        await using var database = await TestDatabase.NewAsync();
        var cleaned = 0;
        var hold = true;
        async Task<int> Work(IWorkflowContext run)
        {
            await run.StepAsync("make", _ => Task.FromResult(1));
            try
            {
                return (await run.WaitForSignalAsync<int>("never"))!.Value;
            }
            catch (OperationCanceledException)
            {
                await run.Shielded.StepAsync("remove", _ => Task.FromResult(Interlocked.Increment(ref cleaned)));
                await run.Shielded.StepAsync("tell", async step =>
                {
                    if (hold)
                    {
                        await Task.Delay(Timeout.Infinite, step.CancellationToken);
                    }

                    return 1;
                });
                throw;
            }
        }

        Guid run;
        await using (var worker = await CodeWorker.StartAsync(database, (context, _) => Work(context), CodeWorker.Patient with { ShutdownGrace = TimeSpan.Zero }))
        {
            run = await worker.BeginAsync();
            await worker.IsAsync(run, RunState.Waiting);
            await worker.Client.CancelAsync(run);
            await Eventually.TrueAsync(() => Volatile.Read(ref cleaned) == 1, "it cleans up");
            await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.step_record") == 2, "that is recorded");
        }

        Assert.That(await database.ScalarAsync<string>("select state from engine.runs"), Is.EqualTo("queued"), "the stop of a worker is no end");
        hold = false;
        await using var next = await CodeWorker.StartAsync(database, (context, _) => Work(context));
        Assert.That((await next.FailureAsync(run)).State, Is.EqualTo(RunState.Cancelled));
        Assert.That(cleaned, Is.EqualTo(1), "recorded once");
        Assert.That(
            await database.ScalarAsync<string>("select string_agg(name, ' ' order by place) from engine.steps"), Is.EqualTo("make remove tell"));
    }

    private static async Task<int> HangAsync(IWorkflowContext run, RunState state, TaskCompletionSource stopped)
    {
        if (state != RunState.Running)
        {
            return (await run.WaitForSignalAsync<int>("never"))!.Value;
        }

        return await run.StepAsync("hang", async step =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, step.CancellationToken);
            }
            finally
            {
                stopped.TrySetResult();
            }

            return 1;
        });
    }
}
