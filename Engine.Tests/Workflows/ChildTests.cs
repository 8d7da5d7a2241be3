using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Workflows;

/// <summary>Children are started once, answer their parent, and follow it when it ends.</summary>
public sealed class ChildTests
{
    [Test]
    public async Task A_parent_gets_the_outputs_of_its_children_and_gives_its_slot_back_meanwhile()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(
            database,
            async (run, count) =>
            {
                var children = new List<Guid>();
                for (var child = 0; child < count; child++)
                {
                    children.Add(await run.StartChildAsync("child", child));
                }

                return (await Task.WhenAll(children.Select(run.ChildResultAsync<int>))).Sum();
            },
            async (run, input) =>
            {
                await run.SleepAsync(TimeSpan.FromSeconds(1));
                return input * 10;
            },
            slots: 3);
        var run = await worker.BeginAsync(5);
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(100));
        Assert.That((await worker.Client.ListAsync(new RunQuery { ParentRunId = run })).Count, Is.EqualTo(5), "each child was started once");
        Assert.That(await database.ScalarAsync<long>("select epoch from engine.runs where run_id = @run", new { run }), Is.GreaterThan(1));
    }

    [Test]
    public async Task A_failed_child_is_an_error_that_its_parent_can_catch()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(
            database,
            async (run, _) =>
            {
                var child = await run.StartChildAsync("child", 1);
                try
                {
                    return await run.ChildResultAsync<int>(child);
                }
                catch (ChildFailedException error)
                {
                    return error.RunId == child && error.State == RunState.Failed && error.Message.Contains("no luck", StringComparison.Ordinal) ? 42 : 0;
                }
            },
            (_, _) => throw new NonRetryableException("no luck"));
        Assert.That(await worker.ResultAsync(await worker.BeginAsync()), Is.EqualTo(42));
    }

    [TestCase(ParentClosePolicy.Cancel, RunState.Cancelled)]
    [TestCase(ParentClosePolicy.Terminate, RunState.Terminated)]
    [TestCase(ParentClosePolicy.Abandon, RunState.Completed)]
    public async Task A_child_follows_its_parents_end_as_it_was_told(ParentClosePolicy policy, RunState end)
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(
            database,
            async (run, _) =>
            {
                await run.StartChildAsync("child", 1, new ChildOptions { OnParentClose = policy });
                return 1;
            },
            async (run, _) => (await run.WaitForSignalAsync<int>("go"))!.Value);
        var parent = await worker.BeginAsync();
        await worker.ResultAsync(parent);
        var child = (await worker.Client.ListAsync(new RunQuery { ParentRunId = parent })).Single().RunId;
        if (policy == ParentClosePolicy.Abandon)
        {
            await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.relay") == 0, "the parent's end was carried");
            await worker.Client.SignalAsync(child, "go", 1);
        }

        await worker.IsAsync(child, end);
    }

    [Test]
    public async Task Ends_are_carried_for_every_way_to_end()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(
            database,
            async (run, _) =>
            {
                var children = new[]
                {
                    await run.StartChildAsync("child", 0),
                    await run.StartChildAsync("child", 1, new ChildOptions { Queue = "nobody" }),
                    await run.StartChildAsync("child", 2, new ChildOptions { ExecutionTimeout = TimeSpan.FromMilliseconds(300) }),
                    await run.StartChildAsync("child", 3),
                };
                var ended = 0;
                foreach (var child in children)
                {
                    try
                    {
                        ended += await run.ChildResultAsync<int>(child);
                    }
                    catch (ChildFailedException error)
                    {
                        ended += (int)error.State * 10;
                    }
                }

                return ended;
            },
            async (run, input) => input == 0 ? 1 : (await run.WaitForSignalAsync<int>("never"))!.Value);
        var parent = await worker.BeginAsync();
        await Eventually.TrueAsync(async () => (await worker.Client.ListAsync(new RunQuery { ParentRunId = parent })).Count == 4, "all are started");
        var children = (await worker.Client.ListAsync(new RunQuery { ParentRunId = parent })).OrderBy(child => child.CreatedAt).ToArray();
        await worker.Client.CancelAsync(children[1].RunId);
        await worker.Client.TerminateAsync(children[3].RunId, "enough");
        Assert.That(
            await worker.ResultAsync(parent),
            Is.EqualTo(1 + (10 * ((int)RunState.Cancelled + (int)RunState.TimedOut + (int)RunState.Terminated))));
    }

    [Test]
    public async Task Children_with_a_key_keep_its_limit_together_with_all_others_of_the_queue()
    {
        await using var database = await TestDatabase.NewAsync();
        var (now, most, together) = (0, 0, new Lock());
        await using var worker = await StartAsync(
            database,
            async (run, _) =>
            {
                var children = new List<Guid>();
                for (var number = 0; number < 6; number++)
                {
                    children.Add(await run.StartChildAsync("child", number, new ChildOptions { ConcurrencyKey = "account", ConcurrencyLimit = 2 }));
                }

                var sum = 0;
                foreach (var child in children)
                {
                    sum += await run.ChildResultAsync<int>(child);
                }

                return sum;
            },
            (run, _) => run.StepAsync("work", async step =>
            {
                lock (together)
                {
                    most = Math.Max(most, ++now);
                }

                await Task.Delay(50, step.CancellationToken);
                lock (together)
                {
                    now--;
                }

                return 1;
            }));
        Assert.That(await worker.ResultAsync(await worker.BeginAsync()), Is.EqualTo(6));
        Assert.That(most, Is.EqualTo(2));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.runs where concurrency_key = 'account' and concurrency_limit = 2"), Is.EqualTo(6));
    }

    private static Task<TestWorker> StartAsync(
        TestDatabase database, Func<IWorkflowContext, int, Task<int>> parent, Func<IWorkflowContext, int, Task<int>> child, int slots = 8) =>
        TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code").AddWorkflow<ChildCode>("child"),
            CodeWorker.Patient with { Slots = slots },
            services => services.AddSingleton(new Code(parent)).AddSingleton(new ChildCode(child)));

    internal sealed class ChildCode(Func<IWorkflowContext, int, Task<int>> code) : IWorkflow<int, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, int input) => code(run, input);
    }
}
