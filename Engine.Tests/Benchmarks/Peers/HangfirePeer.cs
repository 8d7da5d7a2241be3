using System.Diagnostics;
using Dapper;
using Hangfire;
using Hangfire.PostgreSql;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks.Peers;

/// <summary>Drains no-op jobs with Hangfire.PostgreSql, in this process, with what it documents for quick small jobs.</summary>
internal static class HangfirePeer
{
    private const int Workers = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static int _executed;

    public static string Version => typeof(PostgreSqlStorage).Assembly.GetName().Version!.ToString(3);

    /// <summary>Jobs a second, from the first one that is executed when the code is warm to the last one's end in the database.</summary>
    public static async Task<double> DrainAsync(string database, int jobs)
    {
        _executed = 0;
        var warm = Math.Min(500, jobs);
        var storage = new PostgreSqlStorage(
            new Hangfire.PostgreSql.Factories.NpgsqlConnectionFactory(database, new PostgreSqlStorageOptions { EnableTransactionScopeEnlistment = true }),
            new PostgreSqlStorageOptions { QueuePollInterval = TimeSpan.FromMilliseconds(50), UseSlidingInvisibilityTimeout = true, EnableTransactionScopeEnlistment = true });
        var client = new BackgroundJobClient(storage);
        await Parallel.ForAsync(0, warm + jobs, new ParallelOptions { MaxDegreeOfParallelism = 8 }, (_, _) =>
        {
            client.Enqueue(() => Work());
            return ValueTask.CompletedTask;
        });
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        using var server = new BackgroundJobServer(new BackgroundJobServerOptions { WorkerCount = Workers }, storage);
        await WaitAsync(() => Task.FromResult(Volatile.Read(ref _executed) >= warm), 2);
        var clock = Stopwatch.StartNew();
        var left = warm + jobs - Volatile.Read(ref _executed);
        await WaitAsync(async () => await connection.ExecuteScalarAsync<long>("select count(*) from hangfire.job where statename = 'Succeeded'") == warm + jobs, 50);
        return left / clock.Elapsed.TotalSeconds;
    }

    /// <summary>The job; public, as Hangfire asks.</summary>
    public static void Work() => Interlocked.Increment(ref _executed);

    private static async Task WaitAsync(Func<Task<bool>> condition, int milliseconds)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > Patience)
            {
                throw new TimeoutException($"Hangfire had {Volatile.Read(ref _executed)} jobs done after {Patience}.");
            }

            await Task.Delay(milliseconds);
        }
    }
}
