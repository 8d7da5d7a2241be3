using Exporter.Engine.Testing;
using Exporter.Exports.Testing;
using Npgsql;

namespace Exporter.Exports.Tests;

/// <summary>One server of each kind for the whole test run, started when first asked for; a database for each test.</summary>
[SetUpFixture]
public sealed class TestServers
{
    private static readonly SemaphoreSlim Starting = new(1);
    private static LocalPostgres? _postgres;
    private static LocalClickHouse? _clickHouse;
    private static LocalS3? _s3;

    /// <summary>The connection string of a new, empty PostgreSQL database.</summary>
    public static async Task<string> NewPostgresAsync()
    {
        var server = Environment.GetEnvironmentVariable("EXPORTER_POSTGRES");
        if (string.IsNullOrEmpty(server))
        {
            server = (await StartedAsync(() => _postgres, async () => _postgres = await LocalPostgres.StartAsync())).ConnectionString;
        }

        var database = new NpgsqlConnectionStringBuilder(server);
        var name = "t" + Guid.NewGuid().ToString("N");
        await using var data = NpgsqlDataSource.Create(database.ConnectionString);
        await using var create = data.CreateCommand($"create database {name}");
        await create.ExecuteNonQueryAsync();
        database.Database = name;
        database.MaxPoolSize = 20;
        return database.ConnectionString;
    }

    /// <summary>The test run's ClickHouse server; use a database of your own in it.</summary>
    public static Task<LocalClickHouse> ClickHouseAsync() =>
        StartedAsync(() => _clickHouse, async () => _clickHouse = await LocalClickHouse.StartAsync());

    /// <summary>The test run's S3 server; use a bucket of your own in it.</summary>
    public static Task<LocalS3> S3Async() => StartedAsync(() => _s3, async () => _s3 = await LocalS3.StartAsync());

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await (_postgres?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_clickHouse?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_s3?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

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
