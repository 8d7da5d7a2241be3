using System.CommandLine;
using System.CommandLine.Help;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Cli;

/// <summary>The <c>exporter</c> program.</summary>
internal static class Program
{
    // A worker that is told to stop has its own grace period; this is only the end of all patience.
    private static readonly TimeSpan LongestStop = TimeSpan.FromHours(2);

    public static Task<int> Main(string[] args) => args is [ClickHouseHost.Command, ..]
        ? Task.FromResult(ClickHouseHost.Run(args[1..]))
        : RunAsync(args);

    private static async Task<int> RunAsync(string[] args)
    {
        // @file would be read as arguments; no value here has that meaning.
        var parse = Root().Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parse.Errors.Count > 0 && parse.Action is not HelpWithExamples)
        {
            return Invocation.Refuse(parse);
        }

        return await parse.InvokeAsync(new InvocationConfiguration
        {
            EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = LongestStop,
        }).ConfigureAwait(false);
    }

    internal static RootCommand Root()
    {
        var root = new RootCommand("Batch exports from ClickHouse that resume from their last committed offset, with every row there once.")
        {
            MigrateCommand.Migrate(),
            KeysCommand.Keys(),
            WorkerCommand.Worker(),
            ServeCommand.Serve(),
            ProjectCommands.All(),
            DestinationCommands.All(),
            ExportCommands.All(),
            BackfillCommands.All(),
            RunCommands.All(),
            DeadLetterCommands.All(),
            NotificationCommands.All(),
            ApplyCommand.Make(),
            AuditCommands.All(),
            UserCommands.All(),
            KeyCommands.All(),
            DoctorCommand.Doctor(),
            Demo.DemoCommand.Command(),
            Demo.DevCommand.Command(),
        };
        GlobalOptions.AddTo(root);
        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        return root;
    }
}
