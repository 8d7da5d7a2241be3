using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests;

/// <summary>One PostgreSQL server for the whole test run; a database for each test.</summary>
[SetUpFixture]
public sealed class TestPostgres
{
    private static string? _server;
    private LocalPostgres? _local;

    public static async Task<string> NewDatabaseAsync()
    {
        var server = new NpgsqlConnectionStringBuilder(_server);
        var name = "t" + Guid.NewGuid().ToString("N");
        await using var data = NpgsqlDataSource.Create(server.ConnectionString);
        await using var command = data.CreateCommand($"create database {name}");
        await command.ExecuteNonQueryAsync();
        server.Database = name;
        server.MaxPoolSize = 20;
        return server.ConnectionString;
    }

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _server = Environment.GetEnvironmentVariable("EXPORTER_POSTGRES");
        if (string.IsNullOrEmpty(_server))
        {
            // Workers are killed here, not the machine: what they committed stays without being flushed to disk.
            _local = await LocalPostgres.StartAsync();
            _server = _local.ConnectionString;
        }
    }

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        if (_local is { } local)
        {
            await local.DisposeAsync();
        }
    }
}
