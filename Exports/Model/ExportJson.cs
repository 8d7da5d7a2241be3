using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Exporter.Exports.Model;

/// <summary>
/// How the exports' records are JSON: in the database, on the command line and over HTTP alike. Names and words are
/// snake_case, as in SQL.
/// </summary>
internal static class ExportJson
{
    /// <summary>For everything that is stored or exchanged.</summary>
    public static JsonSerializerOptions Options { get; } = Make(indented: false);

    /// <summary>For people and files: the same, a line for each property.</summary>
    public static JsonSerializerOptions Indented { get; } = Make(indented: true);

    /// <summary>The word of an enum's value.</summary>
    public static string Word<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    /// <summary>All words of an enum, in its order.</summary>
    public static IReadOnlyList<string> Words<T>()
        where T : struct, Enum => [.. Enum.GetValues<T>().Select(Word)];

    /// <summary>The value of an enum's word; null when it is none.</summary>
    public static T? Find<T>(string word)
        where T : struct, Enum
    {
        foreach (var value in Enum.GetValues<T>())
        {
            if (Word(value) == word)
            {
                return value;
            }
        }

        return null;
    }

    /// <summary>Reads JSON that this program wrote.</summary>
    public static T Read<T>(string json) => JsonSerializer.Deserialize<T>(json, Options)!;

    /// <summary>The place of the first list that has null in it, which a reader of records does not look for; null when there is none.</summary>
    public static string? NullInList(JsonNode? node, string place) => node switch
    {
        JsonArray list => list.Select((item, index) => item is null ? $"{place}[{index}]" : NullInList(item, $"{place}[{index}]")).FirstOrDefault(found => found is not null),
        JsonObject map => map.Select(pair => NullInList(pair.Value, $"{place}.{pair.Key}")).FirstOrDefault(found => found is not null),
        _ => null,
    };

    /// <summary>Writes one line of JSON.</summary>
    public static string Write<T>(T value) => JsonSerializer.Serialize(value, Options);

    private static JsonSerializerOptions Make(bool indented) => new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),

        // The output is no HTML: quotes and accents stay readable.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = indented,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false), new DurationConverter() },
    };
}
