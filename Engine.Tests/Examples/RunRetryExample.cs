using Exporter.Engine.Client;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class RunRetryExample
{
    public sealed class Flaky : IWorkflow<int, int>
    {
        public async Task<int> RunAsync(IWorkflowContext run, int input)
        {
            await run.StepAsync("once", _ => Task.FromResult(input));
            return await run.StepAsync(
                "flaky", _ => run.RunAttempt < 3 ? throw new IOException("away") : Task.FromResult(run.RunAttempt), new StepOptions { Retry = RetryPolicy.None });
        }
    }

    [Test]
    public async Task A_run_that_failed_is_tried_again_from_the_step_that_failed()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Flaky>("flaky"));
        var client = engine.Client;

        #region README run-retry
        var run = await client.StartAsync("flaky", 1, new StartOptions
        {
            Retry = new RetryPolicy { InitialInterval = TimeSpan.FromHours(1), MaximumInterval = TimeSpan.FromDays(1), MaximumAttempts = 5 },
            ExecutionTimeout = TimeSpan.FromDays(7),
        });
        #endregion

        Assert.That(await engine.RunToEndAsync<int>(run.RunId), Is.EqualTo(3));
    }
}
