using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class VersionExample
{
    public sealed class InvoiceOfLastYear : IWorkflow<int, string>
    {
        public async Task<string> RunAsync(IWorkflowContext run, int amount)
        {
            await run.SleepAsync(TimeSpan.FromDays(1));
            return $"version {run.Version}: {amount}";
        }
    }

    public sealed class Invoice : IWorkflow<int, string>
    {
        public async Task<string> RunAsync(IWorkflowContext run, int amount)
        {
            var tax = await run.StepAsync("tax", _ => Task.FromResult(amount / 5));
            return $"version {run.Version}: {amount + tax}";
        }
    }

    #region README versions
    private static void Register(EngineBuilder engine) => engine
        .AddWorkflow<InvoiceOfLastYear>("invoice", version: 1)
        .AddWorkflow<Invoice>("invoice", version: 2);
    #endregion

    [Test]
    public async Task A_run_stays_with_the_version_that_it_began_with()
    {
        await using var engine = await Example.StartAsync(Register);
        var old = await engine.Client.StartAsync("invoice", 100, new() { Version = 1 });
        var now = await engine.Client.StartAsync("invoice", 100);
        Assert.That(await engine.RunToEndAsync<string>(old.RunId), Is.EqualTo("version 1: 100"));
        Assert.That(await engine.RunToEndAsync<string>(now.RunId), Is.EqualTo("version 2: 120"));
    }
}
