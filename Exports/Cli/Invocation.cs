using System.CommandLine;
using System.CommandLine.Help;
using System.Net.Sockets;
using Exporter.Engine.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Sources;
using Npgsql;

namespace Exporter.Exports.Cli;

/// <summary>Runs a command: from parsed words to an exit status. Whatever goes wrong becomes one sentence that says what to do.</summary>
internal static class Invocation
{
    public static async Task<int> RunAsync(
        ParseResult parse, Func<ParseResult, Session, CancellationToken, Task<int>> body, CancellationToken cancellationToken)
    {
        var output = OutputOf(parse);
        try
        {
            var session = new Session(GlobalOptions.Settings(parse, WorkerCommand.Flags(parse)), output);
            await using var closing = session.ConfigureAwait(false);
            return await body(parse, session, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return ExitStatus.Interrupted;
        }
        catch (Exception error)
        {
            var (status, message, setting, advice) = Sort(error);
            output.Error(ErrorText.Scrub(message), setting, advice);
            if (Environment.GetEnvironmentVariable("EXPORTER_DEBUG") == "1")
            {
                await Console.Error.WriteLineAsync(ErrorText.Scrub(error.ToString())).ConfigureAwait(false);
            }

            return status;
        }
    }

    /// <summary>Words that are no command. What was given as a value is not repeated: it may be a secret.</summary>
    public static int Refuse(ParseResult parse)
    {
        var path = string.Join(' ', PathOf(parse));
        if (parse.Tokens.Count == 0)
        {
            // Nothing at all was said; standard output stays for answers.
            parse.InvocationConfiguration.Output = parse.InvocationConfiguration.Error;
            new HelpAction().Invoke(parse);
            return ExitStatus.Usage;
        }

        OutputOf(parse).Error(Misuse(parse, path), null, $"See `{path} --help`.");
        return ExitStatus.Usage;
    }

    private static string Misuse(ParseResult parse, string path)
    {
        var commands = string.Join(", ", parse.CommandResult.Command.Subcommands.Where(command => !command.Hidden).Select(command => command.Name));
        return (parse.UnmatchedTokens, commands, parse.Errors[0].SymbolResult) switch
        {
            // An unknown option of an unknown command is not the first thing to mend.
            ([var first, ..], { Length: > 0 }, _) when !first.StartsWith('-') => $"\"{path}\" has no such command; it has {commands}.",
            ({ Count: > 0 } all, _, _) when all.FirstOrDefault(token => token.StartsWith('-')) is { } unknown => $"There is no option {unknown.Split('=', 2)[0]}.",
            ({ Count: > 0 }, _, _) => "There are more arguments than the command takes.",
            (_, { Length: > 0 }, _) => $"\"{path}\" is not a whole command: {commands} may follow.",
            (_, _, System.CommandLine.Parsing.OptionResult { Option: { ValueType: var type } option, Tokens.Count: 1 }) when IsNumber(type) =>
                $"{option.Name} is no whole number, or too large.",
            _ => parse.Errors[0].Message,
        };
    }

    private static bool IsNumber(Type type) => (Nullable.GetUnderlyingType(type) ?? type) is var number && (number == typeof(int) || number == typeof(long));

    /// <summary>An error in the words of who has to act.</summary>
    internal static (int Status, string Message, string? Setting, string? Advice) Sort(Exception error) => error switch
    {
        UserErrorException user => (ExitStatus.Usage, user.Problem, user.Setting, user.Advice),
        PostgresException { SqlState: PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification } postgres =>
            (ExitStatus.Usage, $"PostgreSQL refused the user: {postgres.MessageText}.", "postgres", "Correct user and password in EXPORTER_POSTGRES."),
        PostgresException { SqlState: PostgresErrorCodes.InvalidCatalogName } postgres =>
            (ExitStatus.Usage, $"PostgreSQL refused: {postgres.MessageText}.", "postgres", "Create the database, or correct its name in EXPORTER_POSTGRES."),
        PostgresException { SqlState: PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.UndefinedColumn or PostgresErrorCodes.UndefinedFunction } =>
            (ExitStatus.Failed, "The database does not have this version's schema.", "postgres", "Run `exporter migrate` first."),
        PostgresException { SqlState: PostgresErrorCodes.InsufficientPrivilege } postgres =>
            (ExitStatus.Failed, $"PostgreSQL refused: {postgres.MessageText}.", "postgres", "Use the user who ran `exporter migrate`, or grant it what is missing."),
        NpgsqlException { InnerException: SocketException or TimeoutException or IOException } or SocketException =>
            (ExitStatus.Failed, $"PostgreSQL cannot be reached: {(error.InnerException ?? error).Message}.", "postgres", "Start it, or correct EXPORTER_POSTGRES."),
        _ when SourceErrors.Classify(error) is { } source =>
            (source.Kind == ErrorKind.User ? ExitStatus.Usage : ExitStatus.Failed, source.Message, source.Setting ?? "clickhouse", source.Advice ?? "Start it, or correct EXPORTER_CLICKHOUSE."),
        _ => (ExitStatus.Failed, ErrorText.Of(error), null, null),
    };

    private static Output OutputOf(ParseResult parse) =>
        new(parse.GetValue(GlobalOptions.Json), parse.InvocationConfiguration.Output, parse.InvocationConfiguration.Error);

    private static IEnumerable<string> PathOf(ParseResult parse)
    {
        var path = new List<string>();
        for (System.CommandLine.Parsing.SymbolResult? at = parse.CommandResult; at is not null; at = at.Parent)
        {
            if (at is System.CommandLine.Parsing.CommandResult command)
            {
                path.Insert(0, command.Command.Name);
            }
        }

        return path;
    }
}
