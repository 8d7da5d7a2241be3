using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Spectre.Console;

namespace Exporter.Exports.Cli;

/// <summary>Asks in the terminal for what a destination lacks. Answers that are secret are not shown.</summary>
internal static class DestinationPrompts
{
    /// <summary>Whether somebody is there to be asked.</summary>
    public static bool CanAsk(Output output) => !output.IsJson && !Console.IsInputRedirected && !Console.IsErrorRedirected;

    /// <summary>Asks for everything.</summary>
    public static Destination All(Output output)
    {
        var kind = DestinationKinds.Get(output.Progress.Prompt(
            new TextPrompt<string>("Kind of destination?").AddChoices(DestinationKinds.All.Select(kind => kind.Name))));
        var settings = new JsonObject();
        var secrets = new Dictionary<string, string>(StringComparer.Ordinal);
        var name = Missing(output, kind, null, settings, secrets);
        return new Destination { Name = name, Kind = kind.Name, Settings = settings, Secrets = secrets };
    }

    /// <summary>Asks for the name, and, when a required setting is missing, for all that are asked for; adds them to those given and answers
    /// the name. An empty answer leaves a setting that is not required out.</summary>
    public static string Missing(Output output, DestinationKind kind, string? name, JsonObject settings, Dictionary<string, string> secrets)
    {
        name ??= output.Progress.Prompt(new TextPrompt<string>("Name of the destination?"));
        var missing = kind.Settings.Where(setting => !settings.ContainsKey(setting.Name) && !secrets.ContainsKey(setting.Name)).ToList();
        foreach (var setting in missing.Exists(setting => setting.Required) ? missing.Where(setting => setting.Required || setting.Asked) : [])
        {
            output.Progress.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[dim]{setting.Description}[/]");
            var prompt = new TextPrompt<string>($"{setting.Name}?") { AllowEmpty = !setting.Required, IsSecret = setting.Secret };
            var answer = output.Progress.Prompt(prompt);
            if (answer.Length == 0)
            {
                continue;
            }

            if (setting.Secret)
            {
                secrets[setting.Name] = answer;
            }
            else
            {
                settings[setting.Name] = DestinationDocument.Typed(setting, answer);
            }
        }

        return name;
    }
}
