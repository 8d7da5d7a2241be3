using Exporter.Engine.Testing;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>The entry <c>chaos-export</c> of the test program.</summary>
internal static class ExportChaosCommand
{
    /// <returns>0 when every row lies where it should, once; 1 otherwise; 2 for a wrong option.</returns>
    public static async Task<int> RunAsync(string[] options)
    {
        ExportChaosSettings settings;
        try
        {
            settings = ExportChaosSettings.Parse(options);
        }
        catch (Exception error) when (error is ArgumentException or FormatException)
        {
            await Console.Error.WriteLineAsync(error.Message);
            return 2;
        }

        await using var postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true });
        await using var clickHouse = await LocalClickHouse.StartAsync();
        LocalS3? s3 = null;
        LocalAzurite? azurite = null;
        await using var database = TestDatabase.Of(await postgres.CreateDatabaseAsync("chaos"));
        await ExportSchema.MigrateAsync(database.ConnectionString);
        ExportChaosVerdict verdict;
        try
        {
            await using var chaos = new ExportChaos(
                settings,
                database,
                clickHouse,
                new ChaosServers(async () => s3 ??= await LocalS3.StartAsync(), async () => azurite ??= await LocalAzurite.StartAsync(), () => postgres.CreateDatabaseAsync()));
            verdict = await chaos.RunAsync();
        }
        finally
        {
            await (s3?.DisposeAsync() ?? ValueTask.CompletedTask);
            await (azurite?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        foreach (var wrong in verdict.Wrong)
        {
            await Console.Error.WriteLineAsync(wrong);
        }

        await Console.Out.WriteLineAsync(verdict.ToString());
        return verdict.IsGood ? 0 : 1;
    }
}
