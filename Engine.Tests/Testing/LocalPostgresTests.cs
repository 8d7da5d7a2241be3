using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests.Testing;

/// <summary>The server that tests and the demo start.</summary>
public sealed class LocalPostgresTests
{
    [Test]
    public async Task A_server_keeps_what_was_committed_over_a_restart_and_leaves_nothing_behind()
    {
        var folders = Directory.GetDirectories(Path.GetTempPath(), "exporter-pg-*").Length;
        await using (var server = await LocalPostgres.StartAsync())
        {
            var connectionString = new NpgsqlConnectionStringBuilder(await server.CreateDatabaseAsync()) { Pooling = false }.ConnectionString;
            await ExecuteAsync(connectionString, "create table kept as select 7 as n");
            await server.RestartAsync();
            Assert.That(await ExecuteAsync(connectionString, "select n from kept"), Is.EqualTo(7));
        }

        Assert.That(Directory.GetDirectories(Path.GetTempPath(), "exporter-pg-*"), Has.Length.LessThanOrEqualTo(folders));
    }

    private static async Task<object?> ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }
}
