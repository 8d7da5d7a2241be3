using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class CheckpointExample
{
    #region README checkpoints
    public sealed class Copy : IWorkflow<int, string>
    {
        public Task<string> RunAsync(IWorkflowContext run, int rows) => run.StepAsync(
            "copy",
            async step =>
            {
                var began = step.TryGetCheckpoint<int>(out var done) ? done : 0;
                for (var row = began; row < rows; row += 10)
                {
                    // ... write ten rows, durably ...
                    step.Heartbeat();
                    await step.CommitAsync(row + 10);
                    if (step.Attempt == 1 && row == 40)
                    {
                        throw new IOException("The server is away.");
                    }
                }

                return $"attempt {step.Attempt} began at row {began}";
            },
            new StepOptions { HeartbeatTimeout = TimeSpan.FromMinutes(1) });
    }
    #endregion

    [Test]
    public async Task The_next_attempt_goes_on_from_the_checkpoint()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Copy>("copy"));
        var run = await engine.Client.StartAsync("copy", 100);
        Assert.That(await engine.RunToEndAsync<string>(run.RunId), Is.EqualTo("attempt 2 began at row 50"));
    }
}
