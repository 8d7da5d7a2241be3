using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class ContinueAsNewExample
{
    #region README continue-as-new
    public sealed class Meter : IWorkflow<int, int>
    {
        public async Task<int> RunAsync(IWorkflowContext run, int hours)
        {
            await run.SleepAsync(TimeSpan.FromHours(1));
            await run.SetStatusAsync($"{hours + 1} hours");
            return hours + 1 < 24 ? throw run.ContinueAsNew(hours + 1) : hours + 1;
        }
    }
    #endregion

    [Test]
    public async Task A_run_goes_on_with_an_empty_record()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Meter>("meter"));
        var run = await engine.Client.StartAsync("meter", 20);
        Assert.That(await engine.RunToEndAsync<int>(run.RunId), Is.EqualTo(24));
        Assert.That((await engine.Client.GetAsync(run.RunId))!.CustomStatus, Is.EqualTo("24 hours"));
    }
}
