using System.Globalization;
using Exporter.Engine.Workers;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>The worker process that is measured: an application as users write it, with many slots.</summary>
internal static class BenchWorker
{
    public const string Queue = "bench";

    /// <summary>Arguments: the connection string and the slots.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddWorkflowEngine(args[0])
            .AddWorkflow<NoOp>("no-op").AddWorkflow<TenSteps>("ten-steps").AddWorkflow<FirstLine>("first-line")
            .AddWorker(Queue, new WorkerOptions { Slots = int.Parse(args[1], CultureInfo.InvariantCulture) });
        using var host = builder.Build();
        await host.RunAsync();
        return 0;
    }
}

/// <summary>Does nothing.</summary>
internal sealed class NoOp : IWorkflow<int, int>
{
    public Task<int> RunAsync(IWorkflowContext run, int input) => Task.FromResult(input);
}

/// <summary>Answers when its code began, by the clock that all processes of this machine share.</summary>
internal sealed class FirstLine : IWorkflow<int, long>
{
    public Task<long> RunAsync(IWorkflowContext run, int input) => Task.FromResult(System.Diagnostics.Stopwatch.GetTimestamp());
}

/// <summary>Ten steps, one after the other, which do nothing.</summary>
internal sealed class TenSteps : IWorkflow<int, int>
{
    public const int Steps = 10;

    public async Task<int> RunAsync(IWorkflowContext run, int input)
    {
        var sum = input;
        for (var step = 0; step < Steps; step++)
        {
            var before = sum;
            sum = await run.StepAsync("add", _ => Task.FromResult(before + 1));
        }

        return sum;
    }
}
