using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Tests.Workflows;

/// <summary>One of everything in one run: steps, a failed attempt, parallel steps, a checkpoint, a transaction, a timer, a signal, a child.</summary>
internal sealed class Medley : IWorkflow<int, int>
{
    public const string Name = "medley";
    public const string Table = "create table committed (run_id uuid, what text, primary key (run_id, what))";

    public static void Add(EngineBuilder engine) => engine.AddWorkflow<Medley>(Name).AddWorkflow<MedleyChild>("medley child");

    /// <summary>What a run answers.</summary>
    public static int Sum(int input) => input + 6 + 10 + 100 + 1000;

    public async Task<int> RunAsync(IWorkflowContext run, int input)
    {
        await run.StepAsync(
            "twice",
            step => step.Attempt == 1 ? throw new InvalidOperationException("Not yet.") : Task.CompletedTask,
            StepOptions.Default with { Retry = new RetryPolicy { InitialInterval = TimeSpan.FromMilliseconds(10) } });
        var child = await run.StartChildAsync("medley child", 100);
        var parts = await run.StepsAsync("part", [1, 2, 3], 2, (_, part) => Task.FromResult(part));
        await run.SleepAsync(TimeSpan.FromMilliseconds(300));
        var counted = await run.StepAsync("checkpoints", async step =>
        {
            for (var number = step.TryGetCheckpoint<int>(out var done) ? done + 1 : 1; number <= 3; number++)
            {
                var what = $"checkpoint {number}";
                await step.CommitAsync(number, async (transaction, _) =>
                    await transaction.Connection!.ExecuteAsync("insert into committed values (@RunId, @what)", new { run.RunId, what }, transaction));
            }

            return 10;
        });
        var signal = await run.WaitForSignalAsync<int>("go");
        var last = await run.StepInTransactionAsync("transaction", async (_, transaction) =>
        {
            await transaction.Connection!.ExecuteAsync("insert into committed values (@RunId, 'last')", new { run.RunId }, transaction);
            return signal!.Value;
        });
        return input + parts.Sum() + counted + await run.ChildResultAsync<int>(child) + last;
    }

    /// <summary>Starts runs, half of them with a key of which two may execute at once, signals them all and waits for their results.</summary>
    public static async Task RunManyAsync(EngineClient client, int runs, CancellationToken cancellationToken = default)
    {
        var handles = new List<RunHandle>();
        for (var number = 0; number < runs; number++)
        {
            var options = new StartOptions { Queue = TestWorker.Queue, IdempotencyKey = $"run {number}" };
            handles.Add(await client.StartAsync(
                Name, number, number % 2 == 0 ? options : options with { ConcurrencyKey = "key", ConcurrencyLimit = 2 }, cancellationToken: cancellationToken));
        }

        await Task.WhenAll(handles.Select(handle => client.SignalAsync(handle.RunId, "go", 1000, cancellationToken: cancellationToken)));
        for (var number = 0; number < runs; number++)
        {
            Assert.That(await client.ResultAsync<int>(handles[number].RunId, cancellationToken), Is.EqualTo(Sum(number)));
        }
    }

    /// <summary>Rows that are missing, and steps or rows that are there more than once, of all runs that are there.</summary>
    public static Task<long> WrongAsync(TestDatabase database) => database.ScalarAsync<long>(
        """
        select count(*) from engine.runs r where workflow = 'medley' and (
          state <> 'completed'
          or (select count(*) from committed c where c.run_id = r.run_id) <> 4
          or (select count(*) from engine.steps s where s.run_id = r.run_id and s.name = 'part') <> 3
          or (select count(*) from engine.runs c where c.parent_run_id = r.run_id) <> 1)
        """);
}

/// <summary>A child that answers its input.</summary>
internal sealed class MedleyChild : IWorkflow<int, int>
{
    public Task<int> RunAsync(IWorkflowContext run, int input) => run.StepAsync("answer", _ => Task.FromResult(input));
}
