using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Npgsql;

namespace Exporter.Exports.Cli.Demo;

/// <summary>
/// The servers of demo and dev, with both schemas and a new encryption key. Private ones, but that <c>EXPORTER_POSTGRES</c> may
/// point to a PostgreSQL server: then a database is made there, and dropped at the end.
/// </summary>
internal sealed class DemoServers : IAsyncDisposable
{
    private readonly LocalPostgres? _postgres;
    private readonly string? _existing;

    private DemoServers(LocalPostgres? postgres, string? existing, LocalClickHouse clickHouse, string database)
    {
        _postgres = postgres;
        _existing = existing;
        ClickHouse = clickHouse;
        Database = database;
    }

    public LocalClickHouse ClickHouse { get; }

    /// <summary>The connection string of the engine's database.</summary>
    public string Database { get; }

    /// <summary>The encryption key, as in configuration.</summary>
    public string Key { get; } = KeyRing.NewKey();

    public static async Task<DemoServers> StartAsync(CancellationToken cancellationToken)
    {
        var clickHouse = await LocalClickHouse.StartAsync(null, cancellationToken).ConfigureAwait(false);
        LocalPostgres? postgres = null;
        try
        {
            var existing = Environment.GetEnvironmentVariable("EXPORTER_POSTGRES") is { Length: > 0 } text ? ConnectionText.Postgres(text) : null;
            string database;
            if (existing is null)
            {
                postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true }, cancellationToken).ConfigureAwait(false);
                database = await postgres.CreateDatabaseAsync("exporter", cancellationToken).ConfigureAwait(false);
            }
            else
            {
                database = await LocalPostgres.CreateDatabaseAsync(existing, $"exporter_demo_{Guid.NewGuid():N}", null, cancellationToken).ConfigureAwait(false);
            }

            var servers = new DemoServers(postgres, existing, clickHouse, database);
            await EngineSchema.MigrateAsync(database, cancellationToken).ConfigureAwait(false);
            await ExportSchema.MigrateAsync(database, cancellationToken).ConfigureAwait(false);
            return servers;
        }
        catch
        {
            await clickHouse.DisposeAsync().ConfigureAwait(false);
            if (postgres is not null)
            {
                await postgres.DisposeAsync().ConfigureAwait(false);
            }

            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await ClickHouse.DisposeAsync().ConfigureAwait(false);
        if (_postgres is not null)
        {
            await _postgres.DisposeAsync().ConfigureAwait(false);
        }
        else
        {
            await LocalPostgres.DropDatabaseAsync(_existing!, new NpgsqlConnectionStringBuilder(Database).Database!).ConfigureAwait(false);
        }
    }
}
