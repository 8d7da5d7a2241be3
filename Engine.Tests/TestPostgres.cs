using Exporter.Engine.Storage;
using Exporter.Engine.Testing;

namespace Exporter.Engine.Tests;

/// <summary>One PostgreSQL server for the whole test run; a database for each test.</summary>
[SetUpFixture]
public sealed class TestPostgres
{
    private static readonly MigratedTemplate Migrated = new(server => EngineSchema.MigrateAsync(server));
    private static string? _server;
    private LocalPostgres? _local;

    /// <summary>The server, for what makes databases of its own.</summary>
    public static string Server => _server!;

    /// <summary>An empty database.</summary>
    public static async Task<string> NewDatabaseAsync() => MigratedTemplate.Small(await LocalPostgres.CreateDatabaseAsync(_server!));

    /// <summary>A database with the engine's schema.</summary>
    public static Task<string> NewMigratedAsync() => Migrated.CopyAsync(_server!);

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
