using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Exporter.Exports.Cli;

/// <summary>A command with examples, which stand at the end of its help.</summary>
internal sealed class CliCommand : Command
{
    public CliCommand(string name, string description, params string[] examples)
        : base(name, description) => Examples = examples;

    public IReadOnlyList<string> Examples { get; }

    /// <summary>What the command does. Its answer is the exit status.</summary>
    public CliCommand Does(Func<ParseResult, Session, CancellationToken, Task<int>> body)
    {
        SetAction((parse, cancellationToken) => Invocation.RunAsync(parse, body, cancellationToken));
        return this;
    }

    /// <summary>What the command does; the exit status is 0 when it returns.</summary>
    public CliCommand Does(Func<ParseResult, Session, CancellationToken, Task> body) => Does(async (parse, session, cancellationToken) =>
    {
        await body(parse, session, cancellationToken).ConfigureAwait(false);
        return ExitStatus.Ok;
    });

    /// <summary>Adds what it takes, in the order of the help.</summary>
    public CliCommand With(params Symbol[] symbols)
    {
        foreach (var symbol in symbols)
        {
            switch (symbol)
            {
                case Argument argument:
                    Add(argument);
                    break;
                case Option option:
                    Add(option);
                    break;
                case Command command:
                    Add(command);
                    break;
                default:
                    throw new ArgumentException($"{symbol.Name} is no argument, option or command.", nameof(symbols));
            }
        }

        return this;
    }
}

/// <summary>Exit statuses, the same for every command.</summary>
internal static class ExitStatus
{
    public const int Ok = 0;

    /// <summary>What was asked for failed.</summary>
    public const int Failed = 1;

    /// <summary>It was not asked for rightly, or a setting is wrong.</summary>
    public const int Usage = 2;

    /// <summary>Ctrl-C, as shells say it.</summary>
    public const int Interrupted = 130;
}

/// <summary>The help, and the command's examples after it.</summary>
internal sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        help.Invoke(parseResult);
        if (parseResult.CommandResult.Command is CliCommand { Examples.Count: > 0 } command)
        {
            var output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach (var example in command.Examples)
            {
                output.WriteLine("  " + example);
            }

            output.WriteLine();
        }

        return ExitStatus.Ok;
    }
}
