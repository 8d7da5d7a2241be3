using Exporter.Engine.Client;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Client;

/// <summary>Cancel reaches code that is executing, and code that waits.</summary>
public sealed class CancelTests
{
    [TestCase(false)]
    [TestCase(true)]
    public async Task A_cancelled_run_ends_cancelled_while_it(bool waits)
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code"),
            TestWorker.Quick with { LongestWaitInSlot = TimeSpan.FromMilliseconds(50) },
            services => services.AddSingleton(new Code(async (run, _) =>
            {
                if (waits)
                {
                    await run.SleepAsync(TimeSpan.FromDays(100));
                    return 1;
                }

                return await run.StepAsync("hang", async step =>
                {
                    await Task.Delay(Timeout.Infinite, step.CancellationToken);
                    return 1;
                });
            })));
        var started = await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue });
        var state = waits ? RunState.Waiting : RunState.Running;
        await Eventually.TrueAsync(async () => (await worker.Client.GetAsync(started.RunId))!.State == state, $"the run is {state}");
        Assert.That(await worker.Client.CancelAsync(started.RunId), Is.True);
        var error = await Assert.ThrowsAsync<RunFailedException>(async () => await worker.Client.ResultAsync<int>(started.RunId));
        Assert.That(error!.State, Is.EqualTo(RunState.Cancelled));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.open_step"), Is.Zero);
    }
}
