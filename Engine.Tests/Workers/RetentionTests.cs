using Exporter.Engine.Client;
using Exporter.Engine.Tests.Workflows;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Workers;

/// <summary>Runs that were final long ago leave, with all that belongs to them, and nothing else does.</summary>
public sealed class RetentionTests
{
    [Test]
    public async Task Runs_leave_when_their_time_is_over_with_all_that_belongs_to_them()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await CodeWorker.StartAsync(
            database,
            async (run, input) =>
            {
                await run.SetStatusAsync("at work");
                run.Log(Microsoft.Extensions.Logging.LogLevel.Information, "at work");
                await run.WaitForSignalAsync<int>("go");
                return await run.StepAsync(
                    "flaky", step => step.Attempt < 2 ? throw new IOException("broken") : Task.FromResult(input),
                    new StepOptions { Retry = new RetryPolicy { InitialInterval = TimeSpan.FromMilliseconds(10) } });
            },
            CodeWorker.Patient with { KeepFinished = TimeSpan.FromDays(1) });
        var runs = new List<Guid>();
        for (var number = 0; number < 20; number++)
        {
            runs.Add(await worker.BeginAsync(number, new StartOptions { IdempotencyKey = $"key {number}" }));
            await worker.Client.SignalAsync(runs[^1], "go", 1);
        }

        await Task.WhenAll(runs.Select(worker.ResultAsync));
        await database.ExecuteAsync("update engine.outcome set finished_at = finished_at - interval '2 days' where run_id = any(@old)", new { old = runs.Take(15).ToArray() });
        await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.runs") == 5, "the old ones have left");
        foreach (var table in new[] { "run", "outcome", "step_record", "attempt_record", "signal", "run_status", "log_line" })
        {
            Assert.That(await database.ScalarAsync<int>($"select count(distinct run_id) from engine.{table}"), Is.EqualTo(5), table);
        }

        Assert.That(await worker.BeginAsync(0, new StartOptions { IdempotencyKey = "key 0" }), Is.Not.EqualTo(runs[0]), "its key is free");
        Assert.That(await worker.BeginAsync(0, new StartOptions { IdempotencyKey = "key 19" }), Is.EqualTo(runs[19]));
    }

    [Test]
    public async Task A_child_stays_as_long_as_its_parent_may_ask_for_its_result()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code").AddWorkflow<ChildTests.ChildCode>("child"),
            CodeWorker.Patient with { KeepFinished = TimeSpan.FromDays(1) },
            services => services
                .AddSingleton(new ChildTests.ChildCode((_, input) => Task.FromResult(input)))
                .AddSingleton(new Code(async (run, _) =>
                {
                    var child = await run.StartChildAsync("child", 42);
                    await run.WaitForSignalAsync<int>("go");
                    return await run.ChildResultAsync<int>(child);
                })));
        var parent = await worker.BeginAsync();
        await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.outcome") == 1, "the child has ended");
        await database.ExecuteAsync("update engine.outcome set finished_at = finished_at - interval '2 days'");
        var other = await worker.Client.StartAsync("child", 1, new StartOptions { Queue = TestWorker.Queue });
        await worker.Client.ResultAsync<int>(other.RunId);
        await database.ExecuteAsync("update engine.outcome set finished_at = finished_at - interval '2 days' where run_id = @RunId", new { other.RunId });
        await Eventually.TrueAsync(async () => await worker.Client.GetAsync(other.RunId) is null, "one without a parent has left");
        await worker.Client.SignalAsync(parent, "go", 1);
        Assert.That(await worker.ResultAsync(parent), Is.EqualTo(42));
        await Eventually.TrueAsync(async () => await database.ScalarAsync<int>("select count(*) from engine.runs") == 1, "now it may go");
    }
}
