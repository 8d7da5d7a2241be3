using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Workflows;

/// <summary>What a run as a whole promises: retries, status, versions, new beginnings, limits, search.</summary>
public sealed class RunTests
{
    [Test]
    public async Task A_failed_run_is_tried_again_from_the_step_that_failed()
    {
        await using var database = await TestDatabase.NewAsync();
        var first = 0;
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            await run.StepAsync("once", _ => Task.FromResult(Interlocked.Increment(ref first)));
            return await run.StepAsync(
                "flaky",
                _ => run.RunAttempt < 3 ? throw new IOException("broken") : Task.FromResult(run.RunAttempt),
                new StepOptions { Retry = RetryPolicy.None });
        });
        var run = await worker.BeginAsync(0, new StartOptions { Retry = Quick(5) });
        Assert.That(await worker.ResultAsync(run), Is.EqualTo(3));
        Assert.That(first, Is.EqualTo(1));
        Assert.That((await worker.Client.GetAsync(run))!.RunAttempt, Is.EqualTo(3));
    }

    [Test]
    public async Task A_run_without_attempts_left_or_with_an_error_that_will_not_pass_fails()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(
            database, (_, input) => throw (input == 0 ? new IOException("broken") : new NonRetryableException("hopeless")));
        var twice = await worker.BeginAsync(0, new StartOptions { Retry = Quick(2) });
        var never = await worker.BeginAsync(1, new StartOptions { Retry = Quick(2) });
        await worker.FailureAsync(twice);
        await worker.FailureAsync(never);
        Assert.That((await worker.Client.GetAsync(twice))!.RunAttempt, Is.EqualTo(2));
        Assert.That((await worker.Client.GetAsync(never))!.RunAttempt, Is.EqualTo(1));
    }

    [Test]
    public async Task Anybody_reads_what_a_run_says_of_itself()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, async (run, _) =>
        {
            for (var part = 1; part <= 3; part++)
            {
                await run.SetStatusAsync($"part {part} of 3");
            }

            return (await run.WaitForSignalAsync<int>("go"))!.Value;
        });
        var run = await worker.BeginAsync();
        await worker.IsAsync(run, RunState.Waiting);
        Assert.That((await worker.Client.GetAsync(run))!.CustomStatus, Is.EqualTo("part 3 of 3"));
        Assert.That(await database.ScalarAsync<string>("select custom_status from engine.runs"), Is.EqualTo("part 3 of 3"));
    }

    [Test]
    public async Task A_run_that_goes_on_for_ever_begins_anew_with_an_empty_record()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(database, async (run, input) =>
        {
            await run.StepAsync($"round {input}", _ => Task.FromResult(1));
            var signal = await run.WaitForSignalAsync<int>("number");
            return signal!.Value == 0 ? input : throw run.ContinueAsNew(input + signal.Value);
        });
        var run = await worker.BeginAsync(1);
        foreach (var number in new[] { 10, 100, 1000, 0 })
        {
            await worker.Client.SignalAsync(run, "number", number);
        }

        Assert.That(await worker.ResultAsync(run), Is.EqualTo(1111));
        Assert.That(await database.ScalarAsync<int>("select restarts from engine.runs"), Is.EqualTo(3));
        Assert.That(await database.ScalarAsync<string>("select string_agg(name, ', ' order by place) from engine.steps"), Is.EqualTo("round 1111, signal number"));
    }

    [Test]
    public async Task A_run_stays_with_the_version_that_it_began_with()
    {
        await using var database = await TestDatabase.NewAsync();
        var old = new Code(async (run, _) => await WaitAsync(run, "old"));
        Guid run;
        await using (var before = await TestWorker.StartAsync(
            database.ConnectionString, engine => engine.AddWorkflow<Code>("code"), CodeWorker.Patient, services => services.AddSingleton(old)))
        {
            run = await before.BeginAsync();
            await before.IsAsync(run, RunState.Waiting);
        }

        // The next release no longer has the old code: the run is stranded, and seen to be.
        var added = new NewCode(async (run, _) => await WaitAsync(run, "new"));
        await using (var after = await TestWorker.StartAsync(
            database.ConnectionString, engine => engine.AddWorkflow<NewCode>("code", 2), CodeWorker.Patient, services => services.AddSingleton(added)))
        {
            await after.Client.SignalAsync(run, "go", 5);
            Assert.That(await database.ScalarAsync<Guid>("select run_id from engine.stranded_runs"), Is.EqualTo(run));
            var another = await after.BeginAsync();
            await after.Client.SignalAsync(another, "go", 6);
            Assert.That(await after.ResultAsync(another), Is.EqualTo(6));
            Assert.That((await after.Client.GetAsync(another))!.Version, Is.EqualTo(2));
            Assert.That((await after.Client.GetAsync(run))!.State, Is.EqualTo(RunState.Queued));
        }

        // One that offers both lets each run go on with its own.
        await using var both = await TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code").AddWorkflow<NewCode>("code", 2),
            CodeWorker.Patient,
            services => services.AddSingleton(old).AddSingleton(added));
        Assert.That(await both.ResultAsync(run), Is.EqualTo(5));
        Assert.That((await both.Client.GetAsync(run))!.Version, Is.EqualTo(1));
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.stranded_runs"), Is.Zero);
    }

    [Test]
    public async Task An_output_larger_than_the_limit_is_an_error_that_names_the_setting()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(
            database,
            async (run, _) => (await run.StepAsync("large", _ => Task.FromResult(System.Security.Cryptography.RandomNumberGenerator.GetBytes(5000)))).Length,
            CodeWorker.Patient with { LargestPayload = 4096 });
        Assert.That((await worker.FailureAsync(await worker.BeginAsync())).Message, Does.Contain("WorkerOptions.LargestPayload allows 4,096"));
    }

    [Test]
    public async Task Runs_are_found_by_what_they_were_started_with()
    {
        await using var database = await TestDatabase.NewAsync();
        var client = TestWorker.ClientOf(database.Data);
        foreach (var number in Enumerable.Range(0, 10))
        {
            await client.StartAsync(number % 2 == 0 ? "even" : "odd", number, new StartOptions
            {
                Queue = "q", Tags = new Dictionary<string, string> { ["team"] = number < 5 ? "one" : "two", ["number"] = $"{number}" },
            });
        }

        async Task<int> CountAsync(RunQuery query) => (await client.ListAsync(query)).Count;
        Assert.That(await CountAsync(new RunQuery { Workflow = "even" }), Is.EqualTo(5));
        Assert.That(await CountAsync(new RunQuery { Tags = new Dictionary<string, string> { ["team"] = "two" } }), Is.EqualTo(5));
        Assert.That(await CountAsync(new RunQuery { Workflow = "odd", Tags = new Dictionary<string, string> { ["team"] = "two" } }), Is.EqualTo(3));
        Assert.That(await CountAsync(new RunQuery { State = RunState.Completed }), Is.Zero);
        Assert.That(await CountAsync(new RunQuery { Limit = 3 }), Is.EqualTo(3));
        var newest = (await client.ListAsync(new RunQuery { Limit = 1 }))[0];
        Assert.That(newest.Tags["number"], Is.EqualTo("9"));
        Assert.That(await CountAsync(new RunQuery { CreatedBefore = newest.CreatedAt }), Is.EqualTo(9));
    }

    private static RetryPolicy Quick(int attempts) => new()
    {
        InitialInterval = TimeSpan.FromMilliseconds(50), MaximumInterval = TimeSpan.FromMilliseconds(100), MaximumAttempts = attempts,
    };

    private static async Task<int> WaitAsync(IWorkflowContext run, string step)
    {
        await run.StepAsync(step, _ => Task.FromResult(1));
        return (await run.WaitForSignalAsync<int>("go"))!.Value;
    }

    internal sealed class NewCode(Func<IWorkflowContext, int, Task<int>> code) : IWorkflow<int, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, int input) => code(run, input);
    }
}
