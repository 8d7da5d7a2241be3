using Dapper;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>An empty database as a destination, and a look into it.</summary>
internal sealed class PostgresServer : IAsyncDisposable
{
    private PostgresServer(string connectionString)
    {
        Parts = new NpgsqlConnectionStringBuilder(connectionString);
        Data = NpgsqlDataSource.Create(connectionString);
    }

    public NpgsqlConnectionStringBuilder Parts { get; }

    public NpgsqlDataSource Data { get; }

    public static async Task<PostgresServer> NewAsync() => new(await TestServers.NewPostgresAsync());

    /// <summary>The database of a connection string.</summary>
    public static PostgresServer Of(string connectionString) => new(connectionString);

    /// <summary>The destination's configuration; a setting with the value null is left out.</summary>
    public Destination Configured(params (string Name, object? Value)[] settings)
    {
        var destination = new Destination
        {
            Name = "postgres",
            Kind = "postgres",
            Settings = new()
            {
                ["host"] = Parts.Host,
                ["port"] = Parts.Port,
                ["database"] = Parts.Database,
                ["username"] = Parts.Username,
                ["ssl_mode"] = "disable",
            },
            Secrets = Parts.Password is { } password ? new Dictionary<string, string> { ["password"] = password } : [],
        };
        foreach (var (name, value) in settings)
        {
            destination.Settings[name] = value switch
            {
                null => null,
                int number => number,
                _ => (string)value,
            };
            if (value is null)
            {
                destination.Settings.Remove(name);
            }
        }

        return destination;
    }

    public IDestination Open(params (string Name, object? Value)[] settings) => DestinationKinds.Open(Configured(settings), new FormatOptions());

    public async Task<List<T>> ListAsync<T>(string sql)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return [.. await connection.QueryAsync<T>(sql)];
    }

    public async Task<T?> ScalarAsync<T>(string sql)
    {
        await using var connection = await Data.OpenConnectionAsync();
        return await connection.ExecuteScalarAsync<T>(sql);
    }

    public async Task ExecuteAsync(string sql)
    {
        await using var connection = await Data.OpenConnectionAsync();
        await connection.ExecuteAsync(sql);
    }

    public ValueTask DisposeAsync() => Data.DisposeAsync();
}
