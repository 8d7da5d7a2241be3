using System.CommandLine;
using Exporter.Engine;
using Exporter.Engine.Payloads;
using Exporter.Engine.Workers;
using Exporter.Exports.Model;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter worker</c>.</summary>
internal static class WorkerCommand
{
    private static readonly Option<string> Slots = Flag("--slots", "worker_slots", "number");
    private static readonly Option<string> BackfillSlots = Flag("--backfill-slots", "worker_backfill_slots", "number");
    private static readonly Option<string> Lease = Flag("--lease", "worker_lease", "duration");
    private static readonly Option<string> Grace = Flag("--grace", "worker_grace", "duration");
    private static readonly Option<string> Memory = Flag("--memory", "worker_memory", "size");
    private static readonly Option<string> WorkerName = Flag("--name", "worker_name", "text");

    /// <summary>What a process that executes takes, in the order of the help.</summary>
    public static IReadOnlyList<Option<string>> Options { get; } = [Slots, BackfillSlots, Lease, Grace, Memory, WorkerName];

    public static Command Worker() => new CliCommand(
        "worker",
        "Execute batch exports, backfills and schedules, until it is stopped",
        "exporter worker",
        "exporter worker --slots 8 --memory 1GB --name export-1",
        "exporter worker --json").With([.. Options]).Does(RunAsync);

    /// <summary>The settings that are flags of a command, this one's and that of <c>serve</c>.</summary>
    public static IEnumerable<(string Setting, Option<string> Option)> Flags(ParseResult parse) => new[]
    {
        ("worker_slots", Slots), ("worker_backfill_slots", BackfillSlots), ("worker_lease", Lease), ("worker_grace", Grace), ("worker_memory", Memory),
        ("worker_name", WorkerName), ("serve_listen", ServeCommand.Listen),
    }.Where(flag => parse.CommandResult.Command.Options.Contains(flag.Item2));

    private static async Task RunAsync(ParseResult parse, Session session, CancellationToken cancellationToken)
    {
        var settings = session.Settings;
        var options = OptionsOf(settings);
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = AppContext.BaseDirectory });
        Log(builder.Logging, session.Output.IsJson);
        Telemetry.AddTo(builder);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = settings.WorkerGrace + TimeSpan.FromSeconds(10));
        if (settings.Smtp() is { } smtp)
        {
            builder.Services.AddSingleton(smtp);
        }

        builder.Services
            .AddWorkflowEngine(settings.Postgres, new PayloadCodec(settings.RequiredKeys()))
            .AddBatchExports(settings.ClickHouseOptions(), settings.WorkerMemory)
            .AddWorker(ExportInput.Queue, options)
            .AddWorker(BackfillStore.Queue, options with { Slots = settings.WorkerBackfillSlots });

        // Asked first, so that a wrong password or a missing schema is one sentence and not a log that repeats it.
        await session.Runs.ListAsync(new RunFilter { Limit = 1 }, cancellationToken).ConfigureAwait(false);
        using var host = builder.Build();
        await host.RunAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>How a worker for batch export runs claims and holds them.</summary>
    public static WorkerOptions OptionsOf(ExporterSettings settings)
    {
        var options = new WorkerOptions { LeasePeriod = settings.WorkerLease, ShutdownGrace = settings.WorkerGrace, Slots = settings.WorkerSlots };
        return (settings.WorkerName is { } name ? options with { Name = name } : options).Validate();
    }

    /// <summary>Lets a process that goes on until it is stopped say what it does, on standard error.</summary>
    public static void Log(ILoggingBuilder logging, bool json)
    {
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft.Hosting.Lifetime", LogLevel.Warning);
        logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        const string Time = "yyyy-MM-dd'T'HH:mm:ss.fff'Z' ";
        if (json)
        {
            logging.AddJsonConsole(console => (console.UseUtcTimestamp, console.TimestampFormat) = (true, Time.Trim()));
        }
        else
        {
            logging.AddSimpleConsole(console => (console.UseUtcTimestamp, console.TimestampFormat, console.SingleLine) = (true, Time, true));
        }

        // Standard output is for answers; a worker has none.
        logging.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
    }

    /// <summary>A setting that is a flag, too.</summary>
    internal static Option<string> Flag(string name, string setting, string helpName)
    {
        var info = ExporterSettings.Known.Single(known => known.Name == setting);
        return new Option<string>(name) { Description = $"{info.Description} [{info.Variable}]", HelpName = helpName };
    }
}
