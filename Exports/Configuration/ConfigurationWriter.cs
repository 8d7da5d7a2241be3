using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>Writes exports and their destinations as a configuration document; what is as it would be anyway is left out.</summary>
internal static class ConfigurationWriter
{
    /// <summary>Writes a document.</summary>
    /// <param name="destinations">The destinations.</param>
    /// <param name="exports">The exports.</param>
    /// <param name="references">Whether a secret stands there as the name of a variable; else it is left out.</param>
    public static JsonObject Write(IEnumerable<DestinationView> destinations, IEnumerable<BatchExportView> exports, bool references) => new()
    {
        ["destinations"] = new JsonArray([.. destinations.Select(one => Destination(one, references))]),
        ["exports"] = new JsonArray([.. exports.Select(Export)]),
    };

    private static JsonObject Destination(DestinationView view, bool references)
    {
        var node = new JsonObject { ["name"] = view.Name, ["kind"] = view.Kind };
        foreach (var (name, value) in view.Settings)
        {
            node[name] = value?.DeepClone();
        }

        foreach (var secret in references ? view.SecretNames : [])
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
