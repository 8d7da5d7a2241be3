using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class StepsExample
{
    #region README steps
    public sealed class Order : IWorkflow<int, string>
    {
        public async Task<string> RunAsync(IWorkflowContext run, int amount)
        {
            var payment = await run.StepAsync("charge", step => Task.FromResult($"payment {step.IdempotencyKey} of {amount}"));
            var parcel = await run.StepAsync("ship", step => Task.FromResult($"parcel of {step.RunId}"));
            return $"{payment}, {parcel}";
        }
    }
    #endregion

    [Test]
    public async Task Steps_are_recorded_in_their_order()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Order>("order"));
        var run = await engine.Client.StartAsync("order", 5);
        Assert.That(await engine.Client.ResultAsync<string>(run.RunId), Is.EqualTo($"payment {run.RunId}/0 of 5, parcel of {run.RunId}"));
    }
}
