using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class ParallelExample
{
    #region README parallel
    public sealed class Thumbnails : IWorkflow<string[], int>
    {
        public async Task<int> RunAsync(IWorkflowContext run, string[] pictures)
        {
            var sizes = await run.StepsAsync("shrink", pictures, maxParallel: 4, (step, picture) => Task.FromResult(picture.Length));
            return sizes.Sum();
        }
    }
    #endregion

    [Test]
    public async Task Each_item_has_a_step()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Thumbnails>("thumbnails"));
        var run = await engine.Client.StartAsync("thumbnails", new[] { "a", "bc", "def" });
        Assert.That(await engine.Client.ResultAsync<int>(run.RunId), Is.EqualTo(6));
    }
}
