using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Cli.Demo;

/// <summary>The private servers of demo and dev, with both schemas and a new encryption key.</summary>
internal sealed class DemoServers : IAsyncDisposable
{
    private DemoServers(LocalPostgres postgres, LocalClickHouse clickHouse, string database)
    {
        Postgres = postgres;
        ClickHouse = clickHouse;
        Database = database;
    }

    public LocalPostgres Postgres { get; }

    public LocalClickHouse ClickHouse { get; }

    /// <summary>The connection string of the engine's database.</summary>
    public string Database { get; }

    /// <summary>The encryption key, as in configuration.</summary>
    public string Key { get; } = KeyRing.NewKey();

    public static async Task<DemoServers> StartAsync(CancellationToken cancellationToken)
    {
        var postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true }, cancellationToken).ConfigureAwait(false);
        try
        {
            var clickHouse = await LocalClickHouse.StartAsync(null, cancellationToken).ConfigureAwait(false);
            try
            {
                var database = await postgres.CreateDatabaseAsync("exporter", cancellationToken).ConfigureAwait(false);
                await EngineSchema.MigrateAsync(database, cancellationToken).ConfigureAwait(false);
                await ExportSchema.MigrateAsync(database, cancellationToken).ConfigureAwait(false);
                return new DemoServers(postgres, clickHouse, database);
            }
            catch
            {
                await clickHouse.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }
        catch
        {
            await postgres.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await ClickHouse.DisposeAsync().ConfigureAwait(false);
        await Postgres.DisposeAsync().ConfigureAwait(false);
    }
}
