using Exporter.Engine.Testing;
using Exporter.Engine.Tests;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

// Tests that start processes wait for most of their time: for these to start, for leases to end. They, and only they, run side by side.
[assembly: LevelOfParallelism(3)]

namespace Exporter.Exports.Tests;

/// <summary>One server of each kind for the whole test run, started when first asked for; a database for each test.</summary>
[SetUpFixture]
public sealed class TestServers
{
    private static readonly SemaphoreSlim Starting = new(1);
    private static readonly MigratedTemplate Migrated = new(server => ExportSchema.MigrateAsync(server));
    private static LocalPostgres? _postgres;
    private static LocalClickHouse? _clickHouse;
    private static LocalS3? _s3;
    private static LocalAzurite? _azurite;

    /// <summary>The connection string of a new, empty PostgreSQL database.</summary>
    public static async Task<string> NewPostgresAsync() => MigratedTemplate.Small(await LocalPostgres.CreateDatabaseAsync(await PostgresAsync()));

    /// <summary>The same with both schemas.</summary>
    public static async Task<string> NewMigratedAsync() => await Migrated.CopyAsync(await PostgresAsync());

    /// <summary>The test run's ClickHouse server; use a database of your own in it.</summary>
    public static Task<LocalClickHouse> ClickHouseAsync() =>
        StartedAsync(() => _clickHouse, async () => _clickHouse = await LocalClickHouse.StartAsync());

    /// <summary>The test run's S3 server; use a bucket of your own in it.</summary>
    public static Task<LocalS3> S3Async() => StartedAsync(() => _s3, async () => _s3 = await LocalS3.StartAsync());

    /// <summary>The test run's Azure Blob Storage; use a container of your own in it.</summary>
    public static Task<LocalAzurite> AzuriteAsync() => StartedAsync(() => _azurite, async () => _azurite = await LocalAzurite.StartAsync());

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await (_postgres?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_clickHouse?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_s3?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_azurite?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    private static async Task<string> PostgresAsync() => Environment.GetEnvironmentVariable("EXPORTER_POSTGRES") is { Length: > 0 } server
        ? server
        : (await StartedAsync(() => _postgres, async () => _postgres = await LocalPostgres.StartAsync())).ConnectionString;

    private static async Task<T> StartedAsync<T>(Func<T?> started, Func<Task<T>> start)
        where T : class
    {
        await Starting.WaitAsync();
        try
        {
            return started() ?? await start();
        }
        finally
        {
            Starting.Release();
        }
    }
}
