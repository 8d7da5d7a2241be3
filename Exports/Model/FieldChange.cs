using System.Text.Json.Nodes;

namespace Exporter.Exports.Model;

/// <summary>A field that is not the same in two versions of something.</summary>
/// <param name="Field">Where it is, as <c>model.filter</c>.</param>
/// <param name="Before">What it was; null when it was not there.</param>
/// <param name="After">What it is.</param>
public sealed record FieldChange(string Field, JsonNode? Before, JsonNode? After)
{
    /// <summary>What differs, in the order of the later version. Lists are compared as a whole.</summary>
    public static IReadOnlyList<FieldChange> Between(JsonNode? before, JsonNode? after) => [.. Walk("", before, after)];

    private static IEnumerable<FieldChange> Walk(string field, JsonNode? before, JsonNode? after)
    {
        if (before is JsonObject old && after is JsonObject young)
        {
            return young.Select(pair => pair.Key).Union(old.Select(pair => pair.Key), StringComparer.Ordinal)
                .SelectMany(name => Walk(field.Length == 0 ? name : $"{field}.{name}", old[name], young[name]));
        }

        return JsonNode.DeepEquals(before, after) ? [] : [new FieldChange(field, before?.DeepClone(), after?.DeepClone())];
    }
}
