using System.Globalization;
using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Tests.Chaos;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>A measured worker: a process that has executed enough for its code to be compiled as it stays.</summary>
internal sealed class WorkerProcess : IAsyncDisposable
{
    private const int WarmRuns = 10_000;

    // Where the processor does not tell the size of its cache, as in many virtual machines, .NET collects garbage every 256 KiB; and
    // threads that look for work in a loop take the processor from PostgreSQL. docs/performance.md tells users of both.
    private static readonly Dictionary<string, string> Settings = new() { ["DOTNET_GCgen0size"] = "0x4000000", ["DOTNET_ThreadPool_UnfairSemaphoreSpinLimit"] = "0" };
    private readonly ChaosProcess _process;
    private bool _stopped;

    private WorkerProcess(ChaosProcess process) => _process = process;

    public double CpuSeconds => _process.CpuSeconds();

    /// <summary>A worker that has not executed anything.</summary>
    public static WorkerProcess StartCold(NpgsqlDataSource data, int slots) => new(ChaosProcess.StartLogged(
        null, Settings, "bench-worker", data.ConnectionString, slots.ToString(CultureInfo.InvariantCulture)));

    /// <summary>A worker whose code is compiled.</summary>
    /// <param name="data">The database.</param>
    /// <param name="slots">Its slots.</param>
    /// <param name="scale">A part of the runs that it takes.</param>
    /// <param name="beside">How many workers are there already: they execute a part of what this one would.</param>
    public static async Task<WorkerProcess> StartAsync(NpgsqlDataSource data, int slots, double scale, int beside = 0)
    {
        // Sizes of less than a hundredth measure nothing any more, but show that all of it still runs.
        var warm = Math.Clamp((int)(WarmRuns * scale * 100), 100, WarmRuns) * (beside + 1);
        var worker = StartCold(data, slots);
        var client = TestWorker.ClientOf(data);
        foreach (var workflow in (string[])["no-op", "ten-steps", "no-op", "ten-steps"])
        {
            await client.StartManyAsync(workflow, Inputs(warm / 2));
            await Drained.WaitAsync(data, null);
            await worker.QuietAsync();
        }

        return worker;
    }

    // The runtime compiles what was called often once nothing else is to be compiled, and takes a second to it.
    private async Task QuietAsync()
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        double before;
        do
        {
            before = CpuSeconds;
            await Task.Delay(250);
        }
        while (CpuSeconds - before > 0.02 && clock.Elapsed < TimeSpan.FromSeconds(10));
    }

    public async ValueTask DisposeAsync()
    {
        if (_stopped)
        {
            return;
        }

        _stopped = true;
        await _process.SignalAsync("TERM");
        await _process.ExitAsync();
        await _process.DisposeAsync();
    }

    public static List<(int, StartOptions?)> Inputs(int runs) =>
        [.. Enumerable.Range(0, runs).Select(run => (run, (StartOptions?)new StartOptions { Queue = BenchWorker.Queue }))];
}

/// <summary>Waits until a worker has nothing left to do.</summary>
internal static class Drained
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(10);

    public static async Task<long> CountAsync(NpgsqlDataSource data)
    {
        await using var connection = await data.OpenConnectionAsync();
        return await connection.ExecuteScalarAsync<long>("select count(*) from engine.outcome where state = 'completed'");
    }

    /// <summary>Seconds from the commit that starts so many runs to the end of the last.</summary>
    public static async Task<double> TimeAsync(NpgsqlDataSource data, string workflow, int runs)
    {
        await using var connection = await data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await TestWorker.ClientOf(data).StartManyAsync(workflow, WorkerProcess.Inputs(runs), transaction);
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await transaction.CommitAsync();
        await WaitAsync(data, null);
        return clock.Elapsed.TotalSeconds;
    }

    /// <summary>Looks seldom, and at what costs little, so as not to take part in the measurement.</summary>
    /// <param name="data">The database.</param>
    /// <param name="finished">How many runs must be completed then; null: not counted.</param>
    public static async Task WaitAsync(NpgsqlDataSource data, long? finished)
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await using var connection = await data.OpenConnectionAsync();

        // Beside a million runs that wait, PostgreSQL takes the first of these for easy to find, and reads the whole table each time.
        await connection.ExecuteAsync("set enable_seqscan = off");
        while (await connection.ExecuteScalarAsync<bool>(
            $"""
            select exists (select 1 from engine.live_run where state = 'queued' and queue = '{BenchWorker.Queue}' and concurrency_key is null)
              or exists (select 1 from engine.live_run where worker_id is not null)
            """))
        {
            if (clock.Elapsed > Limit)
            {
                throw new TimeoutException($"Runs were left after {Limit}.");
            }

            await Task.Delay(20);
        }

        await connection.ExecuteAsync("reset enable_seqscan");
        if (finished is not null && await CountAsync(data) is var counted && counted != finished)
        {
            throw new InvalidOperationException($"{counted} runs were completed, not {finished}.");
        }
    }
}
