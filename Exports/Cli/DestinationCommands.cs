using System.CommandLine;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter destination</c>.</summary>
internal static class DestinationCommands
{
    public static Command All() => new CliCommand("destination", "Where rows go", "exporter destination list").With(Create(), List(), Show(), Test(), Delete());

    private static CliCommand Create()
    {
        var create = new CliCommand(
            "create",
            "Create a destination, after testing it",
            "exporter destination create files backup --root /var/exports",
            "exporter destination create s3 lake --bucket events --region eu-central-1 --access-key-env S3_KEY --secret-key-env S3_SECRET");
        foreach (var kind in DestinationKinds.All)
        {
            create.Add(CreateOf(kind));
        }

        return create;
    }

    // The options are the kind's settings, so a new kind needs no code here.
    private static CliCommand CreateOf(DestinationKind kind)
    {
        var name = Name();
        var untested = new Option<bool>("--skip-test") { Description = "Create it even if it cannot be reached now" };
        var settings = kind.Settings.Where(setting => !setting.Secret).ToDictionary(setting => setting, OptionOf);
        var secrets = kind.Settings.Where(setting => setting.Secret).ToDictionary(setting => setting, setting => new SecretOptions(setting));
        var command = new CliCommand(
            kind.Name, kind.Description, $"exporter destination create {kind.Name} NAME " + string.Join(' ', kind.Settings.Where(setting => setting.Required).Select(ExampleOf)));
        command.With([name, .. settings.Values, .. secrets.Values.SelectMany(options => options.All), untested]);
        return command.Does(async (parse, session, cancellationToken) =>
        {
            var destination = new Destination
            {
                Name = parse.GetRequiredValue(name),
                Kind = kind.Name,
                Settings = new JsonObject(settings
                    .Where(pair => parse.GetResult(pair.Value) is { Implicit: false })
                    .Select(pair => KeyValuePair.Create(pair.Key.Name, ValueOf(pair.Value, parse)))),
                Secrets = secrets
                    .Select(pair => (pair.Key.Name, Value: pair.Value.Read(parse)))
                    .Where(pair => pair.Value is not null)
                    .ToDictionary(pair => pair.Name, pair => pair.Value!, StringComparer.Ordinal),
            };
            destination.Validate();
            kind.Check(destination);
            if (!parse.GetValue(untested))
            {
                await foreach (var check in ChecksAsync(destination, cancellationToken).ConfigureAwait(false))
                {
                    if (!check.Ok)
                    {
                        throw new UserErrorException(
                            "destination", $"The test of the destination failed at \"{check.Step}\": {check.Detail}", "Nothing was created; --skip-test creates it all the same.");
                    }
                }
            }

            var created = await session.Destinations.CreateAsync(destination, session.Actor, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(created, output => output.Line($"Created destination {created.Name}."));
        });
    }

    private static CliCommand List() => new CliCommand(
        "list", "List destinations", "exporter destination list", "exporter destination list --json").Does(async (_, session, cancellationToken) =>
        {
            var destinations = await session.Destinations.ListAsync(cancellationToken).ConfigureAwait(false);
            session.Output.Answer(destinations, output => output.Table(
                ["NAME", "KIND", "SETTINGS", "SECRETS", "CREATED"],
                destinations.Select(one => (IReadOnlyList<string?>)
                    [one.Name, one.Kind, SettingsText(one), string.Join(", ", one.SecretNames), Output.Text(one.CreatedAt)]),
                "There are no destinations; see `exporter destination create --help`."));
        });

    private static CliCommand Show()
    {
        var name = Name();
        return new CliCommand("show", "Show a destination, without its secrets", "exporter destination show lake").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var one = await session.Destinations.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
            session.Output.Answer(one, output => output.Details(
                new (string, string?)[] { ("name", one.Name), ("kind", one.Kind) }
                    .Concat(one.Settings.Select(setting => (setting.Key, setting.Value?.ToString())))
                    .Concat(one.SecretNames.Select(secret => (secret, (string?)"***")))
                    .Append(("created", Output.Text(one.CreatedAt)))
                    .Append(("id", one.DestinationId.ToString()))));
        });
    }

    private static CliCommand Test()
    {
        var name = Name();
        return new CliCommand(
            "test", "Try, step by step, what an export will do; leaves nothing behind", "exporter destination test lake").With(name).Does(async (parse, session, cancellationToken) =>
            {
                var found = await session.Destinations.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
                var destination = await session.Destinations.LoadAsync(found.DestinationId, cancellationToken).ConfigureAwait(false);
                var checks = new List<CheckResult>();
                await foreach (var check in ChecksAsync(destination, cancellationToken).ConfigureAwait(false))
                {
                    checks.Add(check);
                }

                session.Output.Answer(checks, output => output.Table(
                    ["STEP", "RESULT", "DETAIL"],
                    checks.Select(check => (IReadOnlyList<string?>)[check.Step, check.Ok ? "ok" : "failed", check.Detail]),
                    "There was nothing to test."));
                return checks.TrueForAll(check => check.Ok) ? ExitStatus.Ok : ExitStatus.Failed;
            });
    }

    private static CliCommand Delete()
    {
        var name = Name();
        return new CliCommand(
            "delete", "Delete a destination and its secrets; what was exported stays", "exporter destination delete lake").With(name).Does(async (parse, session, cancellationToken) =>
            {
                var given = parse.GetRequiredValue(name);
                await session.Destinations.DeleteAsync(given, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(new { Deleted = given }, output => output.Line($"Deleted destination {given}."));
            });
    }

    private static async IAsyncEnumerable<CheckResult> ChecksAsync(
        Destination destination, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var open = DestinationKinds.Open(destination, new FormatOptions());
        await using var closing = open.ConfigureAwait(false);
        await foreach (var check in open.CheckAsync(cancellationToken).ConfigureAwait(false))
        {
            yield return check;
        }
    }

    private static Argument<string> Name() => new("name") { Description = "The destination's name" };

    private static string Flag(DestinationSetting setting) => "--" + setting.Name.Replace('_', '-');

    private static string ExampleOf(DestinationSetting setting) => Flag(setting) + (setting.Secret ? "-env VARIABLE" : " " + setting.Type.ToString().ToUpperInvariant());

    private static Option OptionOf(DestinationSetting setting) => setting.Type switch
    {
        SettingType.Number => new Option<long>(Flag(setting)) { Description = setting.Description, Required = setting.Required, HelpName = "number" },
        SettingType.Boolean => new Option<bool>(Flag(setting)) { Description = setting.Description, Required = setting.Required },
        _ => new Option<string>(Flag(setting)) { Description = setting.Description, Required = setting.Required, HelpName = "text" },
    };

    private static JsonNode? ValueOf(Option option, ParseResult parse) => option switch
    {
        Option<long> number => JsonValue.Create(parse.GetValue(number)),
        Option<bool> boolean => JsonValue.Create(parse.GetValue(boolean)),
        Option<string> text => JsonValue.Create(parse.GetValue(text)),
        _ => throw new InvalidOperationException($"{option.Name} has no type."),
    };

    private static string SettingsText(DestinationView destination) =>
        string.Join(", ", destination.Settings.Select(setting => $"{setting.Key}={setting.Value}"));

    /// <summary>A secret's options: where it is read from. The plain one is known only to be refused.</summary>
    private sealed class SecretOptions(DestinationSetting setting)
    {
        private readonly Option<string> _file = new(Flag(setting) + "-file")
        {
            Description = $"The file that holds it, - for standard input. {setting.Description}", HelpName = "file",
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
