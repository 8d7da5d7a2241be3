using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class TimerExample
{
    #region README timers
    public sealed class Reminder : IWorkflow<string, string>
    {
        public async Task<string> RunAsync(IWorkflowContext run, string name)
        {
            await run.SleepAsync(TimeSpan.FromDays(30));
            return await run.StepAsync("remind", _ => Task.FromResult($"Your trial ends, {name}."));
        }
    }
    #endregion

    #region README testing
    [Test]
    public async Task The_reminder_comes_after_thirty_days()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Reminder>("reminder"));
        var run = await engine.Client.StartAsync("reminder", "Ada");
        await engine.AdvanceAsync(TimeSpan.FromDays(30));
        Assert.That(await engine.Client.ResultAsync<string>(run.RunId), Is.EqualTo("Your trial ends, Ada."));
    }
    #endregion
}
