using System.CommandLine;
using Exporter.Exports.Configuration;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter destination</c>.</summary>
internal static class DestinationCommands
{
    public static Command All() => new CliCommand("destination", "Where rows go", "exporter destination list").With(DestinationCreateCommand.Make(), List(), Show(), DestinationEditCommand.Make(), Test(), Delete());

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
                var checks = await DestinationTrial.ListAsync(destination, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(checks, output => output.Table(
                    ["STEP", "RESULT", "DETAIL"],
                    checks.Select(check => (IReadOnlyList<string?>)[check.Step, check.Ok ? "ok" : "failed", check.Detail]),
                    "There was nothing to test."));
                return checks.All(check => check.Ok) ? ExitStatus.Ok : ExitStatus.Failed;
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

    private static Argument<string> Name() => new("name") { Description = "The destination's name" };

    private static string SettingsText(DestinationView destination) =>
        string.Join(", ", destination.Settings.Select(setting => $"{setting.Key}={setting.Value}"));
}
