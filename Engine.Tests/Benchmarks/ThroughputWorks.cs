using System.Diagnostics;
using Dapper;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>Works 1 to 3 and 9: starts, no-op runs and steps a second, and what they cost.</summary>
internal sealed class ThroughputWorks(BenchServer server, int repetitions, double scale)
{
    private const int Slots = 2000;

    public async Task<IEnumerable<Figure>> StartAsync()
    {
        var runs = (int)(200_000 * scale);
        var (ours, bare) = (new List<double>(), new List<double>());
        for (var repetition = 0; repetition < repetitions; repetition++)
        {
            bare.Add(await WithinAsync(data => new BareSql(data).StartAsync("no-op", runs)));
            ours.Add(await WithinAsync(async data =>
            {
                var inputs = WorkerProcess.Inputs(runs);
                var clock = Stopwatch.StartNew();
                await TestWorker.ClientOf(data).StartManyAsync("no-op", inputs);
                return runs / clock.Elapsed.TotalSeconds;
            }));
        }

        return [new Figure { Work = 1, What = $"bulk start of {runs:N0} runs", Unit = "runs/s", Values = ours, Limits = bare, Bar = 150_000, RatioBar = 0.5 }];
    }

    public Task<IEnumerable<Figure>> DrainAsync() => DrainAsync(2, "no-op", (int)(100_000 * scale), 0, 40_000);

    public Task<IEnumerable<Figure>> StepsAsync() => DrainAsync(3, "ten-steps", (int)(5_000 * scale), TenSteps.Steps, 50_000);

    private async Task<IEnumerable<Figure>> DrainAsync(int work, string workflow, int runs, int steps, double bar)
    {
        var (ours, bare, worker, postgres, wal, commits) = (new List<double>(), new List<double>(), new List<double>(), new List<double>(), new List<double>(), new List<double>());
        var units = runs * Math.Max(steps, 1);
        for (var repetition = 0; repetition < repetitions; repetition++)
        {
            bare.Add(units / await WithinAsync(async data =>
            {
                await new BareSql(data).StartAsync(workflow, runs);
                await AnalyzeAsync(data);
                await server.CheckpointAsync();
                return await new BareSql(data).DrainAsync(steps);
            }));
            await WithinAsync(async data =>
            {
                await using var process = await WorkerProcess.StartAsync(data, Slots, scale);
                var before = await Drained.CountAsync(data);
                await server.CheckpointAsync();
                var (used, cpu) = (await server.UseAsync(), process.CpuSeconds);
                await using var connection = await data.OpenConnectionAsync();
                await using var transaction = await connection.BeginTransactionAsync();
                await TestWorker.ClientOf(data).StartManyAsync(workflow, WorkerProcess.Inputs(runs), transaction);
                var ready = await server.UseAsync();
                var clock = Stopwatch.StartNew();
                await transaction.CommitAsync();
                await Drained.WaitAsync(data, before + runs);
                ours.Add(units / clock.Elapsed.TotalSeconds);
                var use = await server.UseAsync() - ready;
                worker.Add((process.CpuSeconds - cpu) * 1e6 / units);
                postgres.Add(use.CpuSeconds * 1e6 / units);
                wal.Add(use.WalBytes / units);
                commits.Add(use.Commits * 1e6 / units);
                return 0;
            });
        }

        var unit = steps > 0 ? "steps" : "runs";
        Figure Cost(string what, string each, List<double> values, double? limit = null) => new()
        {
            Work = 9, What = $"{what}, per {(each == "B" ? "one" : "million")} {unit}", Unit = each, Values = values, Bar = limit, Least = true,
        };
        return
        [
            new Figure
            {
                Work = work, What = $"{runs:N0} {workflow} runs, one worker process", Unit = unit + "/s", Values = ours, Limits = bare, Bar = bar, RatioBar = 0.6,
            },
            Cost("processor of the worker", "s", worker, steps > 0 ? 15 : null),
            Cost("processor of PostgreSQL", "s", postgres),
            Cost("write-ahead log", "B", wal),
            Cost("commits", "", commits),
        ];
    }

    /// <summary>Work 2 or 3 once more, without its limit: beside a peer.</summary>
    public Task<double> OnceAsync(int work)
    {
        var (workflow, runs, steps) = work == 2 ? ("no-op", (int)(50_000 * scale), 0) : ("ten-steps", (int)(5_000 * scale), TenSteps.Steps);
        return WithinAsync(async data =>
        {
            await using var process = await WorkerProcess.StartAsync(data, Slots, scale);
            await server.CheckpointAsync();
            return runs * Math.Max(steps, 1) / await Drained.TimeAsync(data, workflow, runs);
        });
    }

    private async Task<double> WithinAsync(Func<NpgsqlDataSource, Task<double>> work)
    {
        var data = await server.CreateAsync();
        try
        {
            return await work(data);
        }
        finally
        {
            await server.DropAsync(data);
        }
    }

    private static async Task AnalyzeAsync(NpgsqlDataSource data)
    {
        await using var connection = await data.OpenConnectionAsync();
        await connection.ExecuteAsync("analyze engine.live_run");
    }
}
