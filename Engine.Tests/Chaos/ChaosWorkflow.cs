using Dapper;
using Exporter.Engine.Workflows;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>Where the chaos workflow leaves traces that can be counted.</summary>
internal sealed class ChaosDatabase(string connectionString)
{
    public const string Tables = """
        create table effect (run_id uuid not null, what text not null, epoch bigint not null);
        create table committed (run_id uuid not null, what text not null, primary key (run_id, what));
        create table gate (name text primary key);
        """;

    public NpgsqlDataSource Data { get; } = NpgsqlDataSource.Create(connectionString);

    public async Task NoteAsync(IStepContext step, string what)
    {
        await using var connection = await Data.OpenConnectionAsync();
        await connection.ExecuteAsync(
            "insert into effect values (@RunId, @what, @FencingToken)", new { step.RunId, what, step.FencingToken });
    }

    public async Task<bool> IsOpenAsync(string gate)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return await connection.ExecuteScalarAsync<bool>("select exists (select 1 from gate where name = @gate)", new { gate });
    }
}

/// <summary>One of everything: a plain step, checkpoints with rows, parallel steps, a step in a transaction.</summary>
internal sealed class ChaosWorkflow(ChaosDatabase database) : IWorkflow<string, int>
{
    public const int Checkpoints = 5;
    public const int Parts = 8;

    public async Task<int> RunAsync(IWorkflowContext run, string input)
    {
        await run.StepAsync("first", step => database.NoteAsync(step, "first"));
        var sum = await run.StepAsync("checkpoints", CountAsync);
        if (input == "zombie")
        {
            await run.StepAsync("zombie", ZombieAsync);
        }
        else if (input == "stop")
        {
            await run.StepAsync("slow", SlowAsync);
        }

        var parts = await run.StepsAsync("part", Enumerable.Range(0, Parts).ToArray(), 3, async (step, part) =>
        {
            await database.NoteAsync(step, $"part {part}");
            return part;
        });
        return await run.StepInTransactionAsync("last", async (step, transaction) =>
        {
            await transaction.Connection!.ExecuteAsync("insert into committed values (@RunId, 'last')", step, transaction);
            return sum + parts.Sum();
        });
    }

    private static async Task<int> CountAsync(IStepContext step)
    {
        var from = step.TryGetCheckpoint<int>(out var done) ? done : 0;
        for (var number = from + 1; number <= Checkpoints; number++)
        {
            var what = $"checkpoint {number}";
            await step.CommitAsync(number, async (transaction, _) =>
                await transaction.Connection!.ExecuteAsync("insert into committed values (@RunId, @what)", new { step.RunId, what }, transaction));
        }

        return Checkpoints;
    }

    // Under its first epoch it never looks at its token, as frozen or hanging code would not.
    private async Task ZombieAsync(IStepContext step)
    {
        await database.NoteAsync(step, "zombie");
        if (step.FencingToken == 1)
        {
            while (!await database.IsOpenAsync("zombie"))
            {
                await Task.Delay(20);
            }
        }

        await step.CommitAsync(step.FencingToken);
    }

    private async Task SlowAsync(IStepContext step)
    {
        await database.NoteAsync(step, "slow");
        if (step.FencingToken == 1)
        {
            await Task.Delay(Timeout.Infinite, step.CancellationToken);
        }
    }
}
