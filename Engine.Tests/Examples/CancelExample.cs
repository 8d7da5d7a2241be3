using Exporter.Engine.Client;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class CancelExample
{
    #region README cancel
    public sealed class Booking : IWorkflow<string, string>
    {
        public async Task<string> RunAsync(IWorkflowContext run, string trip)
        {
            await run.StepAsync("reserve", _ => Task.FromResult(trip));
            try
            {
                await run.WaitForSignalAsync<bool>("paid");
                return "booked";
            }
            catch (OperationCanceledException)
            {
                await run.Shielded.StepAsync("release", _ => Task.FromResult(trip));
                throw;
            }
        }
    }
    #endregion

    [Test]
    public async Task A_cancelled_run_cleans_up()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Booking>("booking"));
        var run = await engine.Client.StartAsync("booking", "Rome");
        await engine.AdvanceAsync(TimeSpan.Zero);
        await engine.Client.CancelAsync(run.RunId);
        await engine.AdvanceAsync(TimeSpan.Zero);
        Assert.That((await engine.Client.GetAsync(run.RunId))!.State, Is.EqualTo(RunState.Cancelled));
        await using var steps = engine.Data.CreateCommand("select string_agg(name, ', ' order by place) from engine.steps");
        Assert.That(await steps.ExecuteScalarAsync(), Is.EqualTo("reserve, release"));
    }
}
