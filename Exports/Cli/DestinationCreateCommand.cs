using System.CommandLine;
using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter destination create</c>: from flags, from a file, or, in a terminal, by asking for what is missing.</summary>
internal static class DestinationCreateCommand
{
    public static CliCommand Make()
    {
        var file = new Option<string>("--file") { Description = "A YAML file with kind, name and the kind's settings; - for standard input", HelpName = "file" };
        var untested = Untested();
        var create = new CliCommand(
            "create",
            "Create a destination, after testing it; in a terminal what is missing is asked for",
            "exporter destination create files backup --root /var/exports",
            "exporter destination create s3 lake --bucket events --region eu-central-1 --access-key-env S3_KEY --secret-key-env S3_SECRET",
            "exporter destination create --file lake.yaml").With(file, untested);
        foreach (var kind in DestinationKinds.All)
        {
            create.Add(CreateOf(kind));
        }

        return create.Does(async (parse, session, cancellationToken) =>
        {
            var destination = parse.GetValue(file) is { } path
                ? DestinationFile.Read(path)
                : DestinationPrompts.CanAsk(session.Output)
                    ? DestinationPrompts.All(session.Output)
                    : throw new UserErrorException("kind", "Neither a kind nor --file is given.", $"The kinds are {string.Join(", ", DestinationKinds.All.Select(kind => kind.Name))}.");
            await CreateAsync(session, destination, parse.GetValue(untested), cancellationToken).ConfigureAwait(false);
        });
    }

    // The options are the kind's settings, so a new kind needs no code here.
    private static CliCommand CreateOf(DestinationKind kind)
    {
        var name = new Argument<string?>("name") { Description = "The destination's name", Arity = ArgumentArity.ZeroOrOne };
        var untested = Untested();
        var settings = kind.Settings.Where(setting => !setting.Secret).ToDictionary(setting => setting, OptionOf);
        var secrets = kind.Settings.Where(setting => setting.Secret).ToDictionary(setting => setting, setting => new SecretOptions(setting));
        var command = new CliCommand(
            kind.Name, kind.Description, $"exporter destination create {kind.Name} NAME " + string.Join(' ', kind.Settings.Where(setting => setting.Required).Select(ExampleOf)));
        command.With([name, .. settings.Values, .. secrets.Values.SelectMany(options => options.All), untested]);
        return command.Does(async (parse, session, cancellationToken) =>
        {
            var given = new JsonObject(settings
                .Where(pair => parse.GetResult(pair.Value) is { Implicit: false })
                .Select(pair => KeyValuePair.Create(pair.Key.Name, ValueOf(pair.Value, parse))));
            var secret = secrets
                .Select(pair => (pair.Key.Name, Value: pair.Value.Read(parse)))
                .Where(pair => pair.Value is not null)
                .ToDictionary(pair => pair.Name, pair => pair.Value!, StringComparer.Ordinal);
            var called = parse.GetValue(name);
            if (DestinationPrompts.CanAsk(session.Output))
            {
                called = DestinationPrompts.Missing(session.Output, kind, called, given, secret);
            }
            else if (called is null)
            {
                throw new UserErrorException("name", "The destination has no name.", $"Write it behind {kind.Name}.");
            }
            else if (kind.Settings.FirstOrDefault(setting => setting.Required && !given.ContainsKey(setting.Name) && !secret.ContainsKey(setting.Name)) is { } missing)
            {
                throw new UserErrorException(missing.Name, $"{Flag(missing)}{(missing.Secret ? "-file" : "")} is missing.", missing.Description);
            }

            await CreateAsync(
                session, new Destination { Name = called, Kind = kind.Name, Settings = given, Secrets = secret }, parse.GetValue(untested), cancellationToken).ConfigureAwait(false);
        });
    }

    private static async Task CreateAsync(Session session, Destination destination, bool untested, CancellationToken cancellationToken)
    {
        destination.Validate();
        DestinationKinds.Get(destination.Kind).Check(destination);
        if (!untested)
        {
            await DestinationTrial.DemandAsync(destination, "Nothing was created; --skip-test creates it all the same.", cancellationToken).ConfigureAwait(false);
        }

        var created = await session.Destinations.CreateAsync(destination, session.Actor, cancellationToken).ConfigureAwait(false);
        session.Output.Answer(created, output => output.Line($"Created destination {created.Name}."));
    }

    private static Option<bool> Untested() => new("--skip-test") { Description = "Create it even if it cannot be reached now" };

    private static string Flag(DestinationSetting setting) => "--" + setting.Name.Replace('_', '-');

    private static string ExampleOf(DestinationSetting setting) => Flag(setting) + (setting.Secret ? "-env VARIABLE" : " " + setting.Type.ToString().ToUpperInvariant());

    // None is required of the parser: in a terminal it is asked for.
    private static Option OptionOf(DestinationSetting setting) => setting.Type switch
    {
        SettingType.Number => new Option<long>(Flag(setting)) { Description = Described(setting), HelpName = "number" },
        SettingType.Boolean => new Option<bool>(Flag(setting)) { Description = Described(setting) },
        _ => new Option<string>(Flag(setting)) { Description = Described(setting), HelpName = "text" },
    };

    private static string Described(DestinationSetting setting) => setting.Required ? $"{setting.Description} Required." : setting.Description;

    private static JsonNode? ValueOf(Option option, ParseResult parse) => option switch
    {
        Option<long> number => JsonValue.Create(parse.GetValue(number)),
        Option<bool> boolean => JsonValue.Create(parse.GetValue(boolean)),
        Option<string> text => JsonValue.Create(parse.GetValue(text)),
        _ => throw new InvalidOperationException($"{option.Name} has no type."),
    };

    /// <summary>A secret's options: where it is read from. The plain one is known only to be refused.</summary>
    private sealed class SecretOptions(DestinationSetting setting)
    {
        private readonly Option<string> _file = new(Flag(setting) + "-file")
        {
            Description = $"The file that holds it, - for standard input. {Described(setting)}", HelpName = "file",
        };

        private readonly Option<string> _variable = new(Flag(setting) + "-env")
        {
            Description = "The environment variable that holds it", HelpName = "variable",
        };

        private readonly Option<string> _plain = new(Flag(setting)) { Hidden = true, Arity = ArgumentArity.ZeroOrOne };

        public IEnumerable<Option> All => [_file, _variable, _plain];

        public string? Read(ParseResult parse)
        {
            if (parse.GetResult(_plain) is not null)
            {
                throw new UserErrorException(
                    setting.Name,
                    $"{_plain.Name} would show a secret to every user of this machine.",
                    $"Use {_file.Name} (- for standard input) or {_variable.Name}; and change the secret, as it may stand in your shell's history.");
            }

            return (parse.GetValue(_file), parse.GetValue(_variable)) switch
            {
                ({ } file, null) => SecretText.ReadFile(setting.Name, file),
                (null, { } variable) => SecretText.ReadVariable(setting.Name, variable),
                (null, null) => null,
                _ => throw new UserErrorException(setting.Name, $"{_file.Name} and {_variable.Name} are both given.", "Give one of them."),
            };
        }
    }
}
