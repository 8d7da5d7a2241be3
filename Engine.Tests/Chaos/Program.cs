using System.Diagnostics;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests.Benchmarks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>What `make` calls, and the worker process that chaos tests start, freeze and kill; the test runner itself never calls it.</summary>
internal static class Program
{
    /// <summary>Arguments: the connection string; then, or not, a moment and a step at which the process kills itself.</summary>
    public static async Task<int> Main(string[] args)
    {
        switch (args)
        {
            case ["chaos", .. var options]:
                return await ChaosCommand.RunAsync(options);
            case ["commit-points", var database]:
                return await CommitPointsAsync(database);
            case ["bench-engine", .. var options]:
                return await EngineBench.RunAsync(options, Console.Out);
            case ["soak-engine", .. var options]:
                return await EngineSoak.RunAsync(options, Console.Out);
            case ["bench-worker", .. var options]:
                return await BenchWorker.RunAsync(options);
            case ["stale-writes"]:
                return await StaleWritesCommand.RunAsync(Console.Out);
            case ["chaos-worker", .. var options]:
                return await LedgerWorker.RunAsync(options);
        }

        if (args.Length is not (1 or 3))
        {
            await Console.Error.WriteLineAsync("usage: bench-engine [works=1,2] [repeat=N] [scale=X] [peers=1] | soak-engine [minutes=N] | stale-writes | chaos [cycles=N] [seconds=N] [seed=N] | CONNECTION_STRING [MOMENT STEP]");
            return 2;
        }

        var builder = Host.CreateApplicationBuilder();
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.Services.AddSingleton(new ChaosDatabase(args[0]));
        builder.Services.AddWorkflowEngine(args[0]).AddWorkflow<ChaosWorkflow>("chaos").AddWorker(
            TestWorker.Queue, TestWorker.Quick with { CancelGrace = TimeSpan.FromSeconds(10) });
        using var host = builder.Build();
        if (args.Length == 3)
        {
            var moment = Enum.Parse<WorkerMoment>(args[1]);
            host.Services.GetRequiredService<WorkerSignals>().Raised = (raised, _, step) =>
            {
                if (raised == moment && (step ?? "") == args[2])
                {
                    // SIGKILL: no handler runs, nothing is flushed.
                    Process.GetCurrentProcess().Kill();
                    Thread.CurrentThread.Join();
                }
            };
        }

        await host.RunAsync();
        return 0;
    }

    private static async Task<int> CommitPointsAsync(string database)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddWorkflowEngine(database).AddWorkflow<CommitPointWorkflow>("points").AddWorkflow<CommitPointChild>("points-child")
            .AddWorker(TestWorker.Queue, TestWorker.Quick with { LongestWaitInSlot = TimeSpan.Zero });
        using var host = builder.Build();
        await host.RunAsync();
        return 0;
    }
}
