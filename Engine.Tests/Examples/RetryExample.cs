using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class RetryExample
{
    #region README retries
    public sealed class Fetch : IWorkflow<string, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, string url) => run.StepAsync(
            "fetch",
            step => step.Attempt < 3 ? throw new HttpRequestException($"{url} is away") : Task.FromResult(step.Attempt),
            new StepOptions
            {
                StartToClose = TimeSpan.FromMinutes(1),
                ScheduleToClose = TimeSpan.FromHours(6),
                Retry = new RetryPolicy
                {
                    InitialInterval = TimeSpan.FromMinutes(5), MaximumInterval = TimeSpan.FromHours(1), NonRetryable = [typeof(UriFormatException)],
                },
            });
    }
    #endregion

    [Test]
    public async Task A_failed_attempt_is_followed_by_another()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Fetch>("fetch"));
        var run = await engine.Client.StartAsync("fetch", "https://example.org");
        Assert.That(await engine.RunToEndAsync<int>(run.RunId), Is.EqualTo(3));
    }
}
