using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Exporter.Engine.Tests.Chaos.Peers;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>The entry <c>stale-writes</c> of the test program.</summary>
internal static class StaleWritesCommand
{
    /// <returns>0 when every stale call was refused, otherwise 1.</returns>
    public static async Task<int> RunAsync(TextWriter output)
    {
        await using var server = await LocalPostgres.StartAsync();
        var database = await server.CreateDatabaseAsync();
        await EngineSchema.MigrateAsync(database);
        await using var data = NpgsqlDataSource.Create(database);
        var tried = await TryAllAsync(data);
        await output.WriteLineAsync(StaleWrites.Title);
        tried.ForEach(output.WriteLine);
        await output.WriteLineAsync($"{tried.Count} calls, accepted {tried.Count(one => !one.IsRefused)}");
        if (Environment.GetEnvironmentVariable("PEERS") == "1" && !await PeerStaleWrites.AskAsync(await server.CreateDatabaseAsync(), output))
        {
            return 1;
        }

        return tried.Count > 0 && tried.TrueForAll(one => one.IsRefused) ? 0 : 1;
    }

    public static async Task<List<StaleWrite>> TryAllAsync(NpgsqlDataSource data)
    {
        await using (var table = data.CreateCommand(StaleWrites.OwnRows))
        {
            await table.ExecuteNonQueryAsync();
        }

        return [.. await new StaleWrites(data).TryAllAsync(), .. await new StaleDecisions(data).TryAllAsync()];
    }
}

/// <summary>What a worker that lost its run can still do: nothing.</summary>
public sealed class StaleWritesTests
{
    [Test]
    public async Task Every_call_of_a_worker_that_lost_its_run_is_refused()
    {
        await using var database = await TestDatabase.NewAsync();
        var tried = await StaleWritesCommand.TryAllAsync(database.Data);
        tried.ForEach(TestContext.Out.WriteLine);
        Assert.That(tried, Has.Count.GreaterThan(23));
        Assert.That(tried, Has.All.Matches<StaleWrite>(one => one is { IsRefused: true }));
    }
}
