using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>PostgreSQL itself goes away and comes back.</summary>
public sealed class RestartTests
{
    [Test]
    public async Task Runs_go_on_after_PostgreSQL_was_restarted_in_their_midst()
    {
        await using var server = await LocalPostgres.StartAsync();
        var connectionString = await server.CreateDatabaseAsync();
        await EngineSchema.MigrateAsync(connectionString);
        await using var data = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        await using (var tables = data.CreateCommand(ChaosDatabase.Tables))
        {
            await tables.ExecuteNonQueryAsync();
        }

        await using var worker = await TestWorker.StartAsync(
            connectionString,
            engine => engine.AddWorkflow<ChaosWorkflow>("chaos"),
            TestWorker.Quick with { Slots = 4, LeasePeriod = TimeSpan.FromSeconds(5) },
            services => services.AddSingleton(new ChaosDatabase(connectionString)));
        var runs = new List<Guid>();
        for (var number = 0; number < 200; number++)
        {
            runs.Add((await worker.Client.StartAsync("chaos", "plain", new StartOptions { Queue = TestWorker.Queue })).RunId);
        }

        for (var restart = 1; restart <= 2; restart++)
        {
            var goal = await FinishedAsync(data) + 20;
            await Eventually.TrueAsync(async () => await FinishedAsync(data) >= goal, "some runs are final");
            await server.RestartAsync();
        }

        foreach (var runId in runs)
        {
            Assert.That(await worker.Client.ResultAsync<int>(runId), Is.EqualTo(33));
        }

        await using var count = data.CreateCommand("select count(*) from committed");
        Assert.That(await count.ExecuteScalarAsync(), Is.EqualTo(200L * (ChaosWorkflow.Checkpoints + 1)));
    }

    private static async Task<long> FinishedAsync(NpgsqlDataSource data)
    {
        await using var count = data.CreateCommand("select count(*) from engine.runs where state = 'completed'");
        return (long)(await count.ExecuteScalarAsync())!;
    }
}
