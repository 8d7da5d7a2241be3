using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>A worker process of <c>make chaos</c>.</summary>
internal static class LedgerWorker
{
    public const string Queue = "chaos";

    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(2);

    /// <summary>Arguments: the engine's database, the ledger's, the worker's name, the hours that its clock is wrong by; "unfenced" or not.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Contains("unfenced"))
        {
            Unfenced.Apply();
        }

        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true).SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddSingleton(new Ledger(args[1]) { IsSlow = args.Contains("unfenced") });
        var wrong = int.Parse(args[3], System.Globalization.CultureInfo.InvariantCulture);
        if (wrong != 0)
        {
            builder.Services.AddSingleton<TimeProvider>(new WrongClock(TimeSpan.FromHours(wrong)));
        }

        builder.Services.AddWorkflowEngine(args[0]).AddWorkflow<LedgerWorkflow>(LedgerWorkflow.Name).AddWorkflow<LedgerChild>(LedgerChild.Name).AddWorker(
            Queue,
            new WorkerOptions
            {
                Name = args[2], Slots = 8, LeasePeriod = Lease, PollInterval = TimeSpan.FromMilliseconds(200), LongestWaitInSlot = TimeSpan.FromMilliseconds(300),
                ShutdownGrace = TimeSpan.FromSeconds(2), CancelGrace = TimeSpan.FromSeconds(2),
            });
        using var host = builder.Build();
        await host.RunAsync();
        return 0;
    }

    // Only what is read from the wall: timers and time stamps are those of the machine.
    private sealed class WrongClock(TimeSpan by) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + by;
    }
}
