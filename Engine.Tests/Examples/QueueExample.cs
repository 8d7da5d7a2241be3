using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Examples;

public sealed class QueueExample
{
    [Test]
    public async Task Limits_of_queues_and_keys_are_set_and_many_runs_start_at_once()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Mail>("mail"));
        var (client, queues) = (engine.Client, new QueueClient(engine.Data));

        #region README queues
        // Of this queue, over all workers, ten at once; of one customer two at once, and sixty a minute.
        await queues.SetLimitsAsync("default", new QueueLimits { MaxRunning = 10 });
        await queues.SetLimitsAsync(
            "default", new QueueLimits { MaxRunning = 2, Rate = new StartRate { Count = 60, Period = TimeSpan.FromMinutes(1), Burst = 60 } }, concurrencyKey: "ada");
        #endregion

        #region README bulk
        var runs = await client.StartManyAsync(
            "mail",
            [.. Enumerable.Range(1, 20).Select(number => ($"letter {number}", (StartOptions?)new StartOptions { ConcurrencyKey = "ada", Priority = -1 }))]);
        #endregion

        Assert.That(runs.Select(run => run.RunId).Distinct().Count(), Is.EqualTo(20));
        foreach (var run in runs)
        {
            Assert.That(await client.ResultAsync<int>(run.RunId), Is.GreaterThan(0));
        }

        IReadOnlyList<LogLine> lines = [];
        await Eventually.TrueAsync(async () => (lines = await client.LogAsync(runs[0].RunId)).Count > 0, "the log is written");
        Assert.That(lines.Select(line => (line.Step, line.Message)), Does.Contain(("send", "letter 1 is sent.")));
    }

    #region README log
    public sealed class Mail(ILogger<Mail> logger) : IWorkflow<string, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, string letter) => run.StepAsync("send", _ =>
        {
            logger.LogInformation("{Letter} is sent.", letter);
            return Task.FromResult(letter.Length);
        });
    }
    #endregion
}
