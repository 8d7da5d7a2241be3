using System.Diagnostics;
using Exporter.Engine;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Workers;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Benchmarks;
using Exporter.Exports.Tests.Compatibility;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>The worker process that chaos tests start, freeze and kill; the test runner itself never calls it.</summary>
internal static class Program
{
    /// <summary>Arguments: PostgreSQL, ClickHouse, key; then, or not, a moment, a step and how often it comes before the process kills itself.</summary>
    public static async Task<int> Main(string[] args)
    {
        if (args is ["bench", "destination=postgres", ..])
        {
            return await PostgresBench.RunAsync(args[2..]);
        }

        if (args is ["bench", var destination, ..] && destination.StartsWith("destination=", StringComparison.Ordinal))
        {
            return await DestinationBench.RunAsync(destination["destination=".Length..], args[2..]);
        }

        if (args is ["bench", ..])
        {
            return await ExportBench.RunAsync(args[1..]);
        }

        if (args is ["bench-peer", ..])
        {
            return await BenchPeers.RunAsync(args[1..]);
        }

        if (args is ["s3-compat", var tools])
        {
            return await S3Compat.RunAsync(Path.GetFullPath(tools));
        }

        if (args is ["chaos-export", ..])
        {
            return await ExportChaosCommand.RunAsync(args[1..]);
        }

        if (args.Length is not (3 or 6))
        {
            await Console.Error.WriteLineAsync("usage: bench [destination=KIND] [rows=N] [repeat=N] [works=pace,s3,two,large,memory] | s3-compat TOOLS | chaos-export [exports=N] [seed=N] [broken] | POSTGRES CLICKHOUSE KEY [MOMENT STEP TIMES]");
            return 2;
        }

        using var host = Build(args[0], args[1], args[2]);
        if (args.Length == 6)
        {
            var moment = Enum.Parse<WorkerMoment>(args[3]);
            var left = int.Parse(args[5], System.Globalization.CultureInfo.InvariantCulture);
            host.Services.GetRequiredService<WorkerSignals>().Raised = (raised, _, step) =>
            {
                if (raised == moment && (step ?? "") == args[4] && Interlocked.Decrement(ref left) == 0)
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

    /// <summary>A host with a worker for batch exports, quick to notice the death of another.</summary>
    public static IHost Build(string postgres, string clickHouse, string key)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        ChaosFaults.AddTo(builder.Services);
        MortalDestination.AddTo(builder.Services);
        builder.Services.AddWorkflowEngine(postgres, new PayloadCodec(KeyRing.Parse(key)))
            .AddBatchExports(ChaosFaults.Source(clickHouse))
            .AddWorker(ExportInput.Queue, new WorkerOptions
            {
                Slots = 4,
                LeasePeriod = ChaosFaults.Lease(),
                PollInterval = TimeSpan.FromMilliseconds(100),
                ShutdownGrace = TimeSpan.FromMilliseconds(200),
                CancelGrace = TimeSpan.FromSeconds(5),
            });
        return builder.Build();
    }
}
