using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>Destinations and batch exports as they stand in a file. What stands there is what shall be; what does not is left alone, or
/// removed when that is asked for.</summary>
internal sealed record ConfigurationDocument
{
    /// <summary>Destinations: <c>name</c>, <c>kind</c>, and the kind's settings; a secret as <c>NAME_env</c> or <c>NAME_file</c>. Default none.</summary>
    public IReadOnlyList<JsonObject> Destinations { get; init; } = [];

    /// <summary>Batch exports. Default none.</summary>
    public IReadOnlyList<ConfiguredExport> Exports { get; init; } = [];

    private static readonly JsonSerializerOptions Strict = new(ExportJson.Options)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        Converters = { new AnyScalarAsText() },
    };

    /// <summary>Reads a document.</summary>
    /// <param name="node">What stands in it.</param>
    /// <param name="name">The file's, for errors.</param>
    /// <exception cref="UserErrorException">It has something that is not known, or lacks something.</exception>
    public static ConfigurationDocument Read(JsonNode? node, string name)
    {
        if (ExportJson.NullInList(node, "$") is { } place)
        {
            throw new UserErrorException("file", $"{name} is wrong at {place}: a list has nothing there.", "Write something there, or leave the line out.");
        }

        try
        {
            var document = (node ?? new JsonObject()).Deserialize<ConfigurationDocument>(Strict)!;
            Once("destination", document.Destinations.Select(one => one["name"]?.ToString() ?? ""), name);
            Once("export", document.Exports.Select(one => one.Name), name);
            return document;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException)
        {
            // A text that is no Unicode is told without its place.
            var (at, problem) = error is JsonException json ? (json.Path ?? "$", Problem(json.Message)) : ("$", "a value is not one that it can have");
            throw new UserErrorException(
                "file", $"{name} is wrong at {at}: {problem}.", "`exporter apply --schema` prints what it may have, and editors that read it help while you write.", error);
        }
    }

    // The serialiser's words name types of ours, which nobody outside knows.
    private static string Problem(string message) => message.Split(" Path:", 2)[0] switch
    {
        var text when text.Contains("including: ", StringComparison.Ordinal) => "it lacks " + text.Split("including: ", 2)[1].TrimEnd('.').Replace("'", "", StringComparison.Ordinal),
        var text when text.Contains("could not be mapped", StringComparison.Ordinal) => "there is no such setting",
        var text when text.Contains("doesn't allow", StringComparison.Ordinal) => "it may not be nothing",
        var text when text.Contains("could not be converted", StringComparison.Ordinal) => "the value is not one that it can have",
        var text => text.TrimEnd('.'),
    };

    private static void Once(string kind, IEnumerable<string> names, string file)
    {
        if (names.GroupBy(name => name, StringComparer.Ordinal).FirstOrDefault(group => group.Take(2).Count() > 1) is { Key: var twice })
        {
            throw new UserErrorException("name", $"{file} has two {kind}s named \"{twice}\".", "Leave one out, or give it another name.");
        }
    }

    // In YAML 7 and true are as good a text as "7" and "true".
    private sealed class AnyScalarAsText : JsonConverter<string>
    {
        public override string? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
        {
            JsonTokenType.Null => null,
            JsonTokenType.String => reader.GetString(),
            JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False => JsonNode.Parse(ref reader)!.ToJsonString(),
            _ => throw new JsonException("A text is expected."),
        };

        public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) => writer.WriteStringValue(value);
    }
}

/// <summary>A batch export as it stands in a file.</summary>
internal sealed record ConfiguredExport
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>The destination's name.</summary>
    public required string Destination { get; init; }

    /// <summary>What leaves the source.</summary>
    public required SourceModel Model { get; init; }

    /// <summary>How rows become bytes. Default Parquet with zstd.</summary>
    public FormatOptions Format { get; init; } = new();

    /// <summary>When it runs and how it cuts time.</summary>
    public required ExportSchedule Schedule { get; init; }

    /// <summary>How a run works.</summary>
    public ExportSettings Settings { get; init; } = new();

    /// <summary>Whether its schedule is paused. Default as it is; of a new one, not.</summary>
    public bool? Paused { get; init; }

    /// <summary>The export itself.</summary>
    /// <exception cref="UserErrorException">A value is out of range, or is not for others to give.</exception>
    public BatchExport ToBatchExport() => new BatchExport
    {
        Name = Name,
        DestinationId = Guid.Empty,
        Model = Model with { Interval = null },
        Format = Format,
        Schedule = Schedule.Given(),
        Settings = Settings,
        Paused = Paused ?? false,
        Note = Paused is true ? "paused in a file" : null,
    }.Validate();
}
