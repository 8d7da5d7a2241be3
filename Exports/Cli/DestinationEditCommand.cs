using System.CommandLine;
using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter destination edit</c>: a setting or a secret at a time, whatever the kind; tested before it is stored.</summary>
internal static class DestinationEditCommand
{
    public static CliCommand Make()
    {
        var name = new Argument<string>("name") { Description = "The destination's name" };
        var set = Pairs("--set", "A setting and its new value; again for each", "setting=value");
        var variable = Pairs("--secret-env", "A secret and the environment variable that holds it; again for each", "secret=variable");
        var file = Pairs("--secret-file", "A secret and the file that holds it, - for standard input; again for each", "secret=file");
        var unset = new Option<string[]>("--unset") { Description = "A setting or secret that is taken away; again for each", HelpName = "setting" };
        var moved = new Option<bool>("--moved") { Description = "What was exported so far was moved to where the destination points to now" };
        var dry = new Option<bool>("--dry-run") { Description = "Only say what would change, and test it" };
        var untested = new Option<bool>("--skip-test") { Description = "Change it even if it cannot be reached now" };
        return new CliCommand(
            "edit",
            "Change settings and secrets of a destination, after testing them; runs in progress go on with them",
            "exporter destination edit lake --secret-env access_key=NEW_KEY --secret-env secret_key=NEW_SECRET",
            "exporter destination edit lake --set region=eu-central-1 --unset endpoint").With(name, set, variable, file, unset, moved, dry, untested).Does(async (parse, session, cancellationToken) =>
            {
                var view = await session.Destinations.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
                var kind = DestinationKinds.Get(view.Kind);
                var edit = new DestinationEdit
                {
                    Settings = Settings(kind, parse.GetValue(set) ?? [], parse.GetValue(unset) ?? []),
                    Secrets = Secrets(kind, parse.GetValue(variable) ?? [], parse.GetValue(file) ?? [], parse.GetValue(unset) ?? []),
                    RowsWereMoved = parse.GetValue(moved),
                    UnchangedSince = view.UpdatedAt,
                };
                var edited = edit.Of(await session.Destinations.LoadAsync(view.DestinationId, cancellationToken).ConfigureAwait(false));
                kind.Check(edited);
                if (!parse.GetValue(untested))
                {
                    await DestinationTrial.DemandAsync(edited, "Nothing was changed; --skip-test changes it all the same.", cancellationToken).ConfigureAwait(false);
                }

                var changes = edit.Changes(view, edited);
                var isDry = parse.GetValue(dry);
                var after = isDry ? view : await session.Destinations.EditAsync(view.Name, edit, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(new { Destination = after, Changes = changes, Changed = !isDry }, output =>
                {
                    output.Changes(changes);
                    output.Line(isDry ? "Nothing was changed; leave --dry-run out to do it." : $"Changed destination {after.Name}.");
                });
            });
    }

    private static Option<string[]> Pairs(string name, string description, string help) => new(name) { Description = description, HelpName = help };

    private static Dictionary<string, JsonNode?> Settings(DestinationKind kind, string[] set, string[] unset)
    {
        var settings = new Dictionary<string, JsonNode?>(StringComparer.Ordinal);
        foreach (var (name, value) in set.Select(text => Split("set", text)))
        {
            var setting = Find(kind, name);
            settings[name] = setting.Secret
                ? throw new UserErrorException(name, $"{name} is a secret, which --set would show to every user of this machine.", $"Use --secret-env {name}=VARIABLE or --secret-file {name}=FILE.")
                : DestinationDocument.Typed(setting, value);
        }

        foreach (var name in unset.Where(name => !Find(kind, name).Secret))
        {
            settings[name] = null;
        }

        return settings;
    }

    private static Dictionary<string, string?> Secrets(DestinationKind kind, string[] variables, string[] files, string[] unset)
    {
        var secrets = unset.Where(name => Find(kind, name).Secret).ToDictionary(name => name, _ => (string?)null, StringComparer.Ordinal);
        foreach (var (name, variable) in variables.Select(text => Split("secret_env", text)))
        {
            secrets[Secret(kind, name).Name] = SecretText.ReadVariable(name, variable);
        }

        foreach (var (name, file) in files.Select(text => Split("secret_file", text)))
        {
            secrets[Secret(kind, name).Name] = SecretText.ReadFile(name, file);
        }

        return secrets;
    }

    private static DestinationSetting Find(DestinationKind kind, string name) => kind.Settings.FirstOrDefault(setting => setting.Name == name) ?? throw new UserErrorException(
        name, $"Destinations of kind {kind.Name} have no setting \"{name}\".", $"The settings are {string.Join(", ", kind.Settings.Select(known => known.Name))}.");

    private static DestinationSetting Secret(DestinationKind kind, string name) => Find(kind, name) is { Secret: true } secret
        ? secret
        : throw new UserErrorException(name, $"{name} is no secret.", $"Use --set {name}=VALUE.");

    // What is behind the sign is not repeated: somebody may have written a secret there.
    private static (string Name, string Value) Split(string option, string text) => text.IndexOf('=', StringComparison.Ordinal) is var at and > 0
        ? (text[..at].Replace('-', '_'), text[(at + 1)..])
        : throw new UserErrorException(option, $"--{option.Replace('_', '-')} has no \"=\" after a name.", "Write name=value.");
}
