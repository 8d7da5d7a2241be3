using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Examples;

public sealed class ChildExample
{
    #region README children
    public sealed class Month : IWorkflow<int, int>
    {
        public async Task<int> RunAsync(IWorkflowContext run, int days)
        {
            var children = new List<Guid>();
            for (var day = 1; day <= days; day++)
            {
                children.Add(await run.StartChildAsync("day", day, new ChildOptions { OnParentClose = ParentClosePolicy.Terminate }));
            }

            var sum = 0;
            foreach (var child in children)
            {
                sum += await run.ChildResultAsync<int>(child);
            }

            return sum;
        }
    }

    public sealed class Day : IWorkflow<int, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, int day) => run.StepAsync("count", _ => Task.FromResult(day));
    }
    #endregion

    [Test]
    public async Task A_parent_sums_up_what_its_children_did()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Month>("month").AddWorkflow<Day>("day"));
        var run = await engine.Client.StartAsync("month", 10);
        Assert.That(await engine.RunToEndAsync<int>(run.RunId), Is.EqualTo(55));
    }
}
