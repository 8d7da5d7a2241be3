using Dapper;
using Npgsql;

namespace Exporter.Engine.Tests;

/// <summary>A database with the engine's schema, for one test.</summary>
internal sealed class TestDatabase : IAsyncDisposable
{
    public TestDatabase(string connectionString)
    {
        ConnectionString = connectionString;
        Data = NpgsqlDataSource.Create(connectionString);
    }

    public string ConnectionString { get; }

    public NpgsqlDataSource Data { get; }

    public static async Task<TestDatabase> NewAsync() => new(await TestPostgres.NewMigratedAsync());

    public async Task<T?> ScalarAsync<T>(string sql, object? parameters = null)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return await connection.ExecuteScalarAsync<T>(sql, parameters);
    }

    public async Task<int> ExecuteAsync(string sql, object? parameters = null)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return await connection.ExecuteAsync(sql, parameters);
    }

    public ValueTask DisposeAsync() => Data.DisposeAsync();
}
