using System.CommandLine;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Spectre.Console;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter apply</c>: makes destinations and exports as a file says, and shows first what that changes.</summary>
internal static class ApplyCommand
{
    public static Command Make()
    {
        var file = new Option<string>("--file", "-f") { Description = "The YAML or JSON file; - for standard input", HelpName = "file" };
        var dry = new Option<bool>("--dry-run") { Description = "Only say what would change" };
        var prune = new Option<bool>("--prune") { Description = "Delete destinations and exports that the file does not have; what they have exported stays" };
        var yes = new Option<bool>("--yes", "-y") { Description = "Do not ask in a terminal" };
        var untested = new Option<bool>("--skip-test") { Description = "Do not test destinations, nor ask the source about models" };
        var schema = new Option<bool>("--schema") { Description = "Print the JSON schema of such files, for editors, and end" };
        return new CliCommand(
            "apply",
            "Make destinations and exports as a file says: what would be made, changed and deleted is shown first",
            "exporter apply -f exports.yaml --dry-run",
            "exporter apply -f exports.yaml --prune --yes",
            "exporter apply --schema > exports.schema.json").With(file, dry, prune, yes, untested, schema).Does(async (parse, session, cancellationToken) =>
            {
                if (parse.GetValue(schema))
                {
                    session.Output.Line(ConfigurationSchema.Make().ToJsonString(ExportJson.Indented));
                    return ExitStatus.Ok;
                }

                var path = parse.GetValue(file) ?? throw new UserErrorException("file", "No file is given.", "Name it with -f, or - for standard input.");
                var document = ConfigurationDocument.Read(YamlText.Read(path == "-" ? await Console.In.ReadToEndAsync(cancellationToken).ConfigureAwait(false) : FilterFile.Text("file", path), path), path);
                var wanted = document.Destinations.Select(one => DestinationDocument.Of(one, path, references: true)).ToList();
                _ = document.Exports.Select(one => one.ToBatchExport()).ToList();
                var applier = new ConfigurationApplier(session.Destinations, session.Exports);
                var (destinations, exports) = await applier.LoadAsync(cancellationToken).ConfigureAwait(false);
                var plan = ConfigurationPlan.Of(wanted, document.Exports, destinations, exports, parse.GetValue(prune));
                var does = plan.Steps.Count > 0 && !parse.GetValue(dry);
                if (!session.Output.IsJson)
                {
                    Show(session.Output, plan);
                    does = does && (parse.GetValue(yes) || !DestinationPrompts.CanAsk(session.Output)
                        || session.Output.Progress.Prompt(new ConfirmationPrompt("Do it?") { DefaultValue = false }));
                }

                if (does && !parse.GetValue(untested))
                {
                    await ConfigurationApplier.TestAsync(plan, session.CheckAsync, "Nothing was changed; --skip-test does it all the same.", cancellationToken).ConfigureAwait(false);
                }

                foreach (var step in does ? plan.Steps : [])
                {
                    await applier.ApplyAsync(step, session.Actor, cancellationToken).ConfigureAwait(false);
                }

                session.Output.Answer(new { plan.Steps, Applied = does }, output => output.Line(
                    plan.Steps.Count == 0 ? "Everything is so already." : does ? $"Done: {Counted(plan)}." : $"Nothing was changed; it would be {Counted(plan)}."));
                return ExitStatus.Ok;
            });
    }

    private static void Show(Output output, ConfigurationPlan plan)
    {
        foreach (var step in plan.Steps)
        {
            output.Line($"{(step.Action switch { PlannedAction.Create => "+", PlannedAction.Change => "~", _ => "-" })} {step.Kind} {step.Name}");
            foreach (var change in step.Changes)
            {
                output.Line("    " + Output.Text(change));
            }
        }
    }

    private static string Counted(ConfigurationPlan plan) => string.Join(", ", Enum.GetValues<PlannedAction>()
        .Select(action => (Count: plan.Steps.Count(step => step.Action == action), Word: action switch { PlannedAction.Create => "made", PlannedAction.Change => "changed", _ => "deleted" }))
        .Where(one => one.Count > 0).Select(one => $"{one.Count} {one.Word}"));
}
