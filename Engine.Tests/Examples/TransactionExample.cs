using Exporter.Engine.Workflows;
using Npgsql;

namespace Exporter.Engine.Tests.Examples;

public sealed class TransactionExample
{
    #region README transaction-step
    public sealed class Book : IWorkflow<int, int>
    {
        public Task<int> RunAsync(IWorkflowContext run, int amount) => run.StepInTransactionAsync("book", async (step, transaction) =>
        {
            await using var insert = new NpgsqlCommand("insert into booking (amount) values ($1)", transaction.Connection, transaction)
            {
                Parameters = { new() { Value = amount } },
            };
            return await insert.ExecuteNonQueryAsync(step.CancellationToken);
        });
    }
    #endregion

    [Test]
    public async Task Rows_and_record_are_one_transaction()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<Book>("book"));
        await using (var create = engine.Data.CreateCommand("create table booking (amount int)"))
        {
            await create.ExecuteNonQueryAsync();
        }

        var run = await engine.Client.StartAsync("book", 7);
        Assert.That(await engine.Client.ResultAsync<int>(run.RunId), Is.EqualTo(1));
        await using var count = engine.Data.CreateCommand("select sum(amount) from booking");
        Assert.That(await count.ExecuteScalarAsync(), Is.EqualTo(7));
    }
}
