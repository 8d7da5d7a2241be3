using System.Diagnostics;
using Dapper;
using Exporter.Engine.Client;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>Works 5, 7 and 8: what waits and what was must not matter, more workers must not hurt, and the hot table stays small.</summary>
internal sealed class ScaleWorks(BenchServer server, int repetitions, double scale)
{
    private const int Slots = 2000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);

    // What is measured must be worth measuring, however small the rest is made.
    private int Size { get; } = (int)(50_000 * Math.Max(scale, 0.1));

    /// <summary>The drain of runs, and a run's latency, beside a million that wait and after ten million that were.</summary>
    public async Task<IEnumerable<Figure>> CrowdedAsync()
    {
        var (waiting, finished) = ((long)(1_000_000 * scale), (long)(10_000_000 * scale));
        var empty = await server.CreateAsync();
        var crowded = await server.CreateAsync();
        await FillWaitingAsync(crowded, waiting);
        await FillFinishedAsync(crowded, finished);
        // They came to be over weeks: what autovacuum would do about them now was done long ago.
        await VacuumAsync(empty);
        await VacuumAsync(crowded);
        await server.CheckpointAsync();
        var (drains, bare, latencies, alone) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
        for (var repetition = 0; repetition < repetitions; repetition++)
        {
            foreach (var (data, rates, milliseconds) in new[] { (empty, bare, alone), (crowded, drains, latencies) })
            {
                await using var worker = await WorkerProcess.StartAsync(data, Slots, scale);
                await server.CheckpointAsync();
                rates.Add(Size / await Drained.TimeAsync(data, "no-op", Size));
                milliseconds.Add(await LatencyAsync(data, 100));
            }
        }

        await server.DropAsync(empty);
        await server.DropAsync(crowded);
        var beside = $"{waiting:N0} waiting, {finished:N0} finished";
        return
        [
            new Figure { Work = 5, What = $"drain with {beside}, against none", Unit = "runs/s", Values = drains, Limits = bare, RatioBar = 1 / 1.2 },
            new Figure { Work = 5, What = "start to result with them, p50", Unit = "ms", Values = latencies, Limits = alone, RatioBar = 1.2, Least = true },
        ];
    }

    /// <summary>The same drain by one, two and four processes.</summary>
    public async Task<IEnumerable<Figure>> WorkersAsync()
    {
        var rates = new Dictionary<int, List<double>> { [1] = [], [2] = [], [4] = [] };
        for (var repetition = 0; repetition < repetitions; repetition++)
        {
            foreach (var (count, values) in rates)
            {
                var data = await server.CreateAsync();
                var workers = new List<WorkerProcess>();
                for (var worker = 0; worker < count; worker++)
                {
                    workers.Add(await WorkerProcess.StartAsync(data, Slots / count, scale));
                }

                await server.CheckpointAsync();
                values.Add(Size * 2 / await Drained.TimeAsync(data, "no-op", Size * 2));
                foreach (var worker in workers)
                {
                    await worker.DisposeAsync();
                }

                await server.DropAsync(data);
            }
        }

        return rates.Where(rate => rate.Key > 1).Select(rate => new Figure
        {
            Work = 7, What = $"{rate.Key} worker processes, against one", Unit = "runs/s", Values = rate.Value, Limits = rates[1], RatioBar = 1,
        });
    }

    /// <summary>The size of the hot table when a million runs have gone through it.</summary>
    public async Task<IEnumerable<Figure>> BloatAsync()
    {
        const int Portions = 20;
        var data = await server.CreateAsync();
        await using var connection = await data.OpenConnectionAsync();
        await using (var worker = await WorkerProcess.StartAsync(data, Slots, scale))
        {
            for (var portion = 0; portion < Portions; portion++)
            {
                await TestWorker.ClientOf(data).StartManyAsync("no-op", WorkerProcess.Inputs((int)(50_000 * scale)));
            }

            await Drained.WaitAsync(data, null);
        }

        var largest = await SizeAsync(connection);
        var clock = Stopwatch.StartNew();
        while (await DeadAsync(connection) > 10_000 && clock.Elapsed < Patience)
        {
            await Task.Delay(1000);
        }

        var (size, dead) = (await SizeAsync(connection), await DeadAsync(connection));
        await connection.CloseAsync();
        await server.DropAsync(data);
        return
        [
            new Figure { Work = 8, What = $"hot table and indexes after {50_000 * scale * Portions:N0} runs, vacuumed by itself", Unit = "MB", Values = [size], Bar = 64, Least = true },
            new Figure { Work = 8, What = "the same at the end of the drain", Unit = "MB", Values = [largest], Least = true },
            new Figure { Work = 8, What = "dead rows in it", Unit = "", Values = [dead], Least = true },
        ];
    }

    private static async Task<double> LatencyAsync(NpgsqlDataSource data, int runs)
    {
        var client = TestWorker.ClientOf(data);
        var took = new List<double>();
        for (var run = 0; run < runs; run++)
        {
            var clock = Stopwatch.GetTimestamp();
            var handle = await client.StartAsync("first-line", 0, new StartOptions { Queue = BenchWorker.Queue });
            took.Add((await client.ResultAsync<long>(handle.RunId) - clock) * 1000.0 / Stopwatch.Frequency);
        }

        return LatencyWorks.Percentile(took, 0.5);
    }

    // Half of them wait for a timer on the worker's own queue, half stand in another queue that nobody takes from.
    private static async Task FillWaitingAsync(NpgsqlDataSource data, long runs)
    {
        await using var connection = await data.OpenConnectionAsync();
        await connection.ExecuteAsync(
            """
            create temp table new_run as
            select gen_random_uuid() as run_id, n % 2 = 0 as waits from generate_series(1, @runs) n;
            insert into engine.run (run_id, workflow, queue, priority, input)
            select run_id, 'no-op', case when waits then @queue else 'other' end, 0, '\x0031' from new_run;
            insert into engine.live_run (run_id, workflow, queue, priority, state, due_at)
            select run_id, 'no-op', case when waits then @queue else 'other' end, 0, (case when waits then 'waiting' else 'queued' end)::engine.run_state,
              engine.clock() + case when waits then interval '1 day' else interval '0' end
            from new_run;
            drop table new_run;
            """,
            new { runs, queue = BenchWorker.Queue },
            commandTimeout: 0);
    }

    private static async Task FillFinishedAsync(NpgsqlDataSource data, long runs)
    {
        await using var connection = await data.OpenConnectionAsync();
        await connection.ExecuteAsync(
            """
            create temp table old_run as
            select gen_random_uuid() as run_id, engine.clock() - n * interval '1 millisecond' as at from generate_series(1, @runs) n;
            insert into engine.run (run_id, workflow, queue, priority, input, created_at) select run_id, 'no-op', @queue, 0, '\x0031', at from old_run;
            insert into engine.outcome (run_id, state, epoch, output, started_at, finished_at) select run_id, 'completed', 1, '\x0031', at, at from old_run;
            drop table old_run;
            """,
            new { runs, queue = BenchWorker.Queue },
            commandTimeout: 0);
    }

    private static async Task VacuumAsync(NpgsqlDataSource data)
    {
        await using var connection = await data.OpenConnectionAsync();
        await connection.ExecuteAsync("vacuum (analyze) engine.run, engine.live_run, engine.outcome", commandTimeout: 0);
    }

    private static Task<double> SizeAsync(NpgsqlConnection connection) =>
        connection.ExecuteScalarAsync<double>("select pg_total_relation_size('engine.live_run') / 1e6::float8");

    private static async Task<long> DeadAsync(NpgsqlConnection connection)
    {
        await connection.ExecuteAsync("select pg_stat_clear_snapshot()");
        return await connection.ExecuteScalarAsync<long>("select n_dead_tup from pg_stat_user_tables where relid = 'engine.live_run'::regclass");
    }
}
