using Exporter.Engine.Client;
using Npgsql;

namespace Exporter.Engine.Tests.Examples;

public sealed class StartExample
{
    #region README start
    public static async Task<Guid> PlaceOrderAsync(NpgsqlDataSource data, EngineClient client, string number)
    {
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using var insert = new NpgsqlCommand("insert into shop_order (number) values ($1)", connection, transaction)
        {
            Parameters = { new() { Value = number } },
        };
        await insert.ExecuteNonQueryAsync();
        var run = await client.StartAsync("order", 5, new StartOptions { IdempotencyKey = number }, transaction);
        await transaction.CommitAsync();
        return run.RunId;
    }
    #endregion

    [Test]
    public async Task A_run_exists_if_and_only_if_the_callers_rows_do()
    {
        await using var engine = await Example.StartAsync(builder => builder.AddWorkflow<StepsExample.Order>("order"));
        await using (var create = engine.Data.CreateCommand("create table shop_order (number text primary key)"))
        {
            await create.ExecuteNonQueryAsync();
        }

        var run = await PlaceOrderAsync(engine.Data, engine.Client, "A-1");
        Assert.That(await engine.Client.ResultAsync<string>(run), Does.StartWith("payment"));
        await Assert.ThrowsAsync<PostgresException>(async () => await PlaceOrderAsync(engine.Data, engine.Client, "A-1"));
        Assert.That(await engine.Client.ListAsync(), Has.Count.EqualTo(1));
    }
}
