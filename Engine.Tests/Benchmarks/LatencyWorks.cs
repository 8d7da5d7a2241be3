using System.Diagnostics;
using Dapper;
using Exporter.Engine.Client;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>Works 4 and 10: how soon a run begins where nothing else goes on, and what a worker costs that has nothing to do.</summary>
internal sealed class LatencyWorks(BenchServer server, double scale)
{
    private TimeSpan Idle { get; } = TimeSpan.FromSeconds(Math.Clamp(20 * scale * 10, 2, 20));

    /// <summary>From the call that starts a run, in this process, to its claim and to its code's first line, in the worker's.</summary>
    public async Task<IEnumerable<Figure>> FirstLineAsync()
    {
        var runs = Math.Max((int)(1000 * scale), 10);
        var data = await server.CreateAsync();
        await using var worker = await WorkerProcess.StartAsync(data, 16, scale);
        var client = TestWorker.ClientOf(data);
        var (whole, asked, bare) = (new List<double>(), new List<double>(), new List<double>());
        await using var first = await BareAsync(data);
        await using var second = await BareAsync(data);
        for (var run = 0; run < runs + 50; run++)
        {
            // Between two runs nothing goes on, for a moment that is never the same.
            await Task.Delay(TimeSpan.FromMilliseconds(5 + (run * 7 % 30)));
            var clock = Stopwatch.GetTimestamp();
            var handle = await client.StartAsync("first-line", 0, new StartOptions { Queue = BenchWorker.Queue });
            var started = Stopwatch.GetElapsedTime(clock).TotalMilliseconds;
            var began = await client.ResultAsync<long>(handle.RunId);
            if (run >= 50)
            {
                whole.Add((began - clock) * 1000.0 / Stopwatch.Frequency);
                asked.Add(started);
            }

            // The limit: two commits of a row each, one after the other, by sessions that have been idle as well.
            await Task.Delay(TimeSpan.FromMilliseconds(5 + (run * 7 % 30)));
            clock = Stopwatch.GetTimestamp();
            await first.ExecuteNonQueryAsync();
            await second.ExecuteNonQueryAsync();
            bare.Add(Stopwatch.GetElapsedTime(clock).TotalMilliseconds);
        }

        await worker.DisposeAsync();
        await first.Connection!.DisposeAsync();
        await second.Connection!.DisposeAsync();
        await server.DropAsync(data);
        return
        [
            Milliseconds(4, "start to first line, p50", Percentile(whole, 0.5), 2) with { Limits = [Percentile(bare, 0.5)] },
            Milliseconds(4, "start to first line, p99", Percentile(whole, 0.99), 10) with { Limits = [Percentile(bare, 0.99)] },
            Milliseconds(4, "of which the durable start itself, p50", Percentile(asked, 0.5), null),
        ];
    }

    private static async Task<NpgsqlCommand> BareAsync(NpgsqlDataSource data)
    {
        var connection = await data.OpenConnectionAsync();
        await connection.ExecuteAsync("create table if not exists bare_row (n int)");
        var insert = new NpgsqlCommand("insert into bare_row values (1)", connection);
        await insert.PrepareAsync();
        return insert;
    }

    public async Task<IEnumerable<Figure>> IdleAsync()
    {
        var data = await server.CreateAsync();
        await using var worker = WorkerProcess.StartCold(data, 16);
        await using var connection = await data.OpenConnectionAsync();
        // A server's processes tell what they have counted when they have been idle for ten seconds.
        await Task.Delay(Idle);
        var before = await CountAsync(connection);
        await Task.Delay(Idle);
        var after = await CountAsync(connection);
        await worker.DisposeAsync();
        await connection.CloseAsync();
        await server.DropAsync(data);
        return
        [
            new Figure { Work = 10, What = "transactions of an idle worker", Unit = "/s", Values = [(after.Transactions - before.Transactions) / Idle.TotalSeconds], Bar = 1, Least = true },
            new Figure { Work = 10, What = "connections of an idle worker", Unit = "", Values = [after.Connections], Bar = 2, Least = true },
        ];
    }

    // Without what this process itself asks.
    private static async Task<(double Transactions, double Connections)> CountAsync(NpgsqlConnection connection)
    {
        await connection.ExecuteAsync("select pg_stat_clear_snapshot()");
        var (commits, own, connections) = await connection.QuerySingleAsync<(long, int, long)>(
            """
            select (select xact_commit + xact_rollback from pg_stat_database where datname = current_database()), 1,
              (select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend')
            """);
        return (commits - own, connections);
    }

    internal static Figure Milliseconds(int work, string what, double value, double? bar) => new() { Work = work, What = what, Unit = "ms", Values = [value], Bar = bar, Least = true };

    internal static double Percentile(List<double> values, double part)
    {
        var sorted = values.Order().ToList();
        return sorted[Math.Min((int)(sorted.Count * part), sorted.Count - 1)];
    }
}
