using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export get</c>: exports and their destinations as a file that <c>exporter apply</c> takes.</summary>
internal static class ExportGetCommand
{
    public static CliCommand Make()
    {
        var names = new Argument<string[]>("name") { Description = "Batch exports; all when none is named", Arity = ArgumentArity.ZeroOrMore };
        var form = new Option<string>("--output", "-o") { Description = "yaml or json", HelpName = "form", DefaultValueFactory = _ => "yaml" };
        return new CliCommand(
            "get",
            "Print exports and their destinations as a file for `exporter apply`; secrets become names of variables",
            "exporter export get events -o yaml > exports.yaml").With(names, form).Does(async (parse, session, cancellationToken) =>
            {
                var output = parse.GetValue(form) is "yaml" or "json" ? parse.GetValue(form)! : throw new UserErrorException("output", $"There is no form \"{parse.GetValue(form)}\".", "Use yaml or json.");
                var given = parse.GetValue(names) ?? [];
                var exports = new List<BatchExportView>();
                foreach (var name in given)
                {
                    exports.Add(await session.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false));
                }

                IReadOnlyList<BatchExportView> chosen = given.Length > 0 ? exports : await session.Exports.ListAsync(cancellationToken).ConfigureAwait(false);
                var used = chosen.Select(one => one.Destination).ToHashSet(StringComparer.Ordinal);
                var destinations = (await session.Destinations.ListAsync(cancellationToken).ConfigureAwait(false)).Where(one => given.Length == 0 || used.Contains(one.Name));
                var document = new JsonObject
                {
                    ["destinations"] = new JsonArray([.. destinations.Select(Destination)]),
                    ["exports"] = new JsonArray([.. chosen.Select(Export)]),
                };
                session.Output.Line(session.Output.IsJson || output == "json" ? document.ToJsonString(ExportJson.Indented) : YamlText.Write(document).TrimEnd());
            });
    }

    private static JsonObject Destination(DestinationView view)
    {
        var node = new JsonObject { ["name"] = view.Name, ["kind"] = view.Kind };
        foreach (var (name, value) in view.Settings)
        {
            node[name] = value?.DeepClone();
        }

        foreach (var secret in view.SecretNames)
        {
            node[secret + "_env"] = string.Concat($"{view.Name}_{secret}".ToUpperInvariant().Select(letter => char.IsAsciiLetterOrDigit(letter) ? letter : '_'));
        }

        return node;
    }

    // What is as it would be anyway is left out.
    private static JsonNode Export(BatchExportView view)
    {
        var given = new ConfiguredExport
        {
            Name = view.Name, Destination = view.Destination, Model = view.Model, Format = view.Format, Schedule = view.Schedule.WithoutPast(), Settings = view.Settings,
            Paused = view.Paused,
        };
        var usual = new ConfiguredExport
        {
            Name = "", Destination = "", Model = new SourceModel { CursorColumn = "" }, Schedule = new ExportSchedule(), Paused = false,
        };
        return Rest(JsonSerializer.SerializeToNode(given, ExportJson.Options)!, JsonSerializer.SerializeToNode(usual, ExportJson.Options))!;
    }

    private static JsonNode? Rest(JsonNode? given, JsonNode? usual)
    {
        if (given is not JsonObject map || usual is not JsonObject other)
        {
            return JsonNode.DeepEquals(given, usual) ? null : given?.DeepClone();
        }

        var rest = new JsonObject(map.Select(pair => KeyValuePair.Create(pair.Key, Rest(pair.Value, other[pair.Key]))).Where(pair => pair.Value is not null));
        return rest.Count > 0 ? rest : null;
    }
}
