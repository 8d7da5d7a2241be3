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

    // An id as the engine makes it: its first 48 bits are the time, so that runs lie in the indexes in the order in which they came.
    private const string RunIdOf =
        """
        create function pg_temp.run_id_of(at timestamptz) returns uuid language sql volatile as $$
          select encode(overlay(uuid_send(gen_random_uuid()) placing substring(int8send((extract(epoch from at) * 1000)::bigint) from 3) from 1 for 6), 'hex')::uuid
        $$;

        """;

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

    /// <summary>The same drain by one, two and four processes, which share the slots; and what it costs.</summary>
    public async Task<IEnumerable<Figure>> WorkersAsync()
    {
        var drains = new Dictionary<int, List<SharedDrain>> { [1] = [], [2] = [], [4] = [] };
        for (var repetition = 0; repetition < repetitions; repetition++)
        {
            foreach (var (count, values) in drains)
            {
                values.Add(await ShareAsync(count));
            }
        }

        return drains.SelectMany(drain => new Figure[]
        {
            new()
            {
                Work = 7, What = drain.Key == 1 ? "one worker process" : $"{drain.Key} worker processes, against one", Unit = "runs/s", Values = Each(drain.Value, one => one.Rate),
                Limits = drain.Key == 1 ? [] : Each(drains[1], one => one.Rate), RatioBar = drain.Key == 1 ? null : 1,
            },
            Cost("processor of the workers", "s", Each(drain.Value, one => one.WorkerSeconds)),
            Cost("processor of PostgreSQL", "s", Each(drain.Value, one => one.Server.CpuSeconds)),
            Cost("commits", "", Each(drain.Value, one => one.Server.Commits)),
        });

        List<double> Each(List<SharedDrain> of, Func<SharedDrain, double> what) => [.. of.Select(what)];
        Figure Cost(string what, string unit, List<double> values) => new() { Work = 7, What = $"  {what}, per million runs", Unit = unit, Values = [.. values.Select(value => value * 1e6 / (Size * 2))], Least = true };
    }

    private async Task<SharedDrain> ShareAsync(int count)
    {
        var data = await server.CreateAsync();
        var workers = new List<WorkerProcess>();
        for (var worker = 0; worker < count; worker++)
        {
            workers.Add(await WorkerProcess.StartAsync(data, Slots / count, scale, beside: worker));
        }

        await server.CheckpointAsync();
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await TestWorker.ClientOf(data).StartManyAsync("no-op", WorkerProcess.Inputs(Size * 2), transaction);
        var (before, cpu) = (await server.UseAsync(), workers.Sum(worker => worker.CpuSeconds));
        var clock = Stopwatch.StartNew();
        await transaction.CommitAsync();
        await Drained.WaitAsync(data, null);
        var rate = Size * 2 / clock.Elapsed.TotalSeconds;
        var drain = new SharedDrain(rate, workers.Sum(worker => worker.CpuSeconds) - cpu, await server.UseAsync() - before);
        foreach (var worker in workers)
        {
            await worker.DisposeAsync();
        }

        await connection.CloseAsync();
        await server.DropAsync(data);
        return drain;
    }

    private sealed record SharedDrain(double Rate, double WorkerSeconds, ServerUse Server);

    /// <summary>The size of the hot table when a million runs have gone through it, and a worker that idles has tidied up.</summary>
    public async Task<IEnumerable<Figure>> BloatAsync()
    {
        const int Portions = 20;
        const double Bar = 64;
        var data = await server.CreateAsync();
        await using var connection = await data.OpenConnectionAsync();
        await using var worker = await WorkerProcess.StartAsync(data, Slots, scale);
        for (var portion = 0; portion < Portions; portion++)
        {
            await TestWorker.ClientOf(data).StartManyAsync("no-op", WorkerProcess.Inputs((int)(50_000 * scale)));
        }

        await Drained.WaitAsync(data, null);
        var (largest, largestTable) = (await SizeAsync(connection), await SizeAsync(connection, "relation"));
        var clock = Stopwatch.StartNew();
        while ((await DeadAsync(connection) > 10_000 || await SizeAsync(connection) > Bar) && clock.Elapsed < Patience)
        {
            await Task.Delay(1000);
        }

        var took = clock.Elapsed.TotalSeconds;
        var (size, table, dead) = (await SizeAsync(connection), await SizeAsync(connection, "relation"), await DeadAsync(connection));
        await connection.CloseAsync();
        await worker.DisposeAsync();
        await server.DropAsync(data);
        return
        [
            new Figure { Work = 8, What = $"hot table and indexes after {50_000 * scale * Portions:N0} runs, left to itself", Unit = "MB", Values = [size], Bar = Bar, Least = true },
            Beside("of which the table", "MB", table),
            Beside("how long after the drain", "s", took),
            Beside("the same at the end of the drain", "MB", largest),
            Beside("of which the table, at the end of the drain", "MB", largestTable),
            Beside("dead rows in it", "", dead),
        ];

        static Figure Beside(string what, string unit, double value) => new() { Work = 8, What = what, Unit = unit, Values = [value], Least = true };
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
        await connection.ExecuteAsync(RunIdOf + """
            create temp table new_run as
            select pg_temp.run_id_of(engine.clock() - n * interval '1 millisecond') as run_id, n % 2 = 0 as waits from generate_series(@runs, 1, -1) n;
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
        await connection.ExecuteAsync(RunIdOf + """
            create temp table old_run as
            select pg_temp.run_id_of(at) as run_id, at from (select engine.clock() - n * interval '1 millisecond' as at from generate_series(@runs, 1, -1) n) past;
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

    private static Task<double> SizeAsync(NpgsqlConnection connection, string of = "total_relation") =>
        connection.ExecuteScalarAsync<double>($"select pg_{of}_size('engine.live_run') / 1e6::float8");

    private static async Task<long> DeadAsync(NpgsqlConnection connection)
    {
        await connection.ExecuteAsync("select pg_stat_clear_snapshot()");
        return await connection.ExecuteScalarAsync<long>("select n_dead_tup from pg_stat_user_tables where relid = 'engine.live_run'::regclass");
    }
}
