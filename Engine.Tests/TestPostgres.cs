using Npgsql;

namespace Exporter.Engine.Tests;

internal static class TestPostgres
{
    public static async Task<string> NewDatabaseAsync()
    {
        var server = new NpgsqlConnectionStringBuilder(Environment.GetEnvironmentVariable("EXPORTER_POSTGRES"));
        var name = "t" + Guid.NewGuid().ToString("N");
        await using var data = NpgsqlDataSource.Create(server.ConnectionString);
        await using var command = data.CreateCommand($"create database {name}");
        await command.ExecuteNonQueryAsync();
        server.Database = name;
        return server.ConnectionString;
    }
}
