using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;
using YamlDotNet.Serialization;

namespace Exporter.Exports.Configuration;

/// <summary>YAML as JSON and back. JSON is YAML too, so either may stand in a file.</summary>
internal static class YamlText
{
    /// <summary>Reads one document; null when there is nothing in it.</summary>
    /// <param name="text">The text.</param>
    /// <param name="name">The file's, for errors.</param>
    /// <exception cref="UserErrorException">It is no YAML, or more than one document.</exception>
    public static JsonNode? Read(string text, string name)
    {
        try
        {
            var stream = new YamlStream();
            stream.Load(new StringReader(text));
            return stream.Documents.Count switch
            {
                0 => null,
                1 => Node(stream.Documents[0].RootNode),
                _ => throw new UserErrorException("file", $"{name} has {stream.Documents.Count} documents.", "Put each into a file of its own."),
            };
        }
        catch (YamlException error)
        {
            throw new UserErrorException(
                "file",
                string.Create(CultureInfo.InvariantCulture, $"{name} is no YAML: line {error.Start.Line} is wrong."),
                "Look at its indentation and quotes.",
                error);
        }
    }

    /// <summary>Writes a document.</summary>
    public static string Write(JsonNode node) => new SerializerBuilder().WithQuotingNecessaryStrings().WithIndentedSequences().Build().Serialize(Plain(node)!);

    private static JsonNode? Node(YamlNode node) => node switch
    {
        YamlMappingNode map => new JsonObject(map.Children.Select(pair => KeyValuePair.Create(((YamlScalarNode)pair.Key).Value ?? "", Node(pair.Value)))),
        YamlSequenceNode list => new JsonArray([.. list.Children.Select(Node)]),
        YamlScalarNode { Style: ScalarStyle.Plain, Value: var text } => Scalar(text ?? ""),
        YamlScalarNode { Value: var text } => JsonValue.Create(text),
        _ => null,
    };

    // As YAML 1.2 has it: "no" and "on" are words.
    private static JsonValue? Scalar(string text) => text switch
    {
        "" or "~" or "null" => null,
        "true" => JsonValue.Create(true),
        "false" => JsonValue.Create(false),
        _ when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            && number.ToString(CultureInfo.InvariantCulture) == text => JsonValue.Create(number),
        _ => JsonValue.Create(text),
    };

    private static object? Plain(JsonNode? node) => node switch
    {
        JsonObject map => map.ToDictionary(pair => pair.Key, pair => Plain(pair.Value)),
        JsonArray list => list.Select(Plain).ToList(),
        JsonValue value when value.TryGetValue<bool>(out var truth) => truth,
        JsonValue value when value.TryGetValue<long>(out var number) => number,
        JsonValue value when value.TryGetValue<string>(out var text) => text,
        _ => node?.ToJsonString(),
    };
}
