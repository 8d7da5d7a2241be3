using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Api;

/// <summary>Reads JSON that others wrote: what is not known, lacking or null where it may not be is refused, with its place.</summary>
internal static class ApiBody
{
    /// <summary>Stricter than what is read of our own.</summary>
    public static readonly JsonSerializerOptions Strict = new(ExportJson.Options)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        AllowDuplicateProperties = false,
    };

    private static readonly JsonDocumentOptions DocumentOptions = new() { AllowDuplicateProperties = false };

    /// <summary>Reads a body.</summary>
    /// <exception cref="UserErrorException">It is no JSON, or not of this form.</exception>
    public static T Read<T>(ReadOnlySpan<byte> body) => Of<T>(Node(body));

    /// <summary>Reads a body as it is.</summary>
    /// <exception cref="UserErrorException">It is no JSON.</exception>
    public static JsonNode? Node(ReadOnlySpan<byte> body)
    {
        try
        {
            return JsonNode.Parse(body, documentOptions: DocumentOptions);
        }
        catch (JsonException error)
        {
            throw new UserErrorException("body", $"The body is no JSON: line {error.LineNumber + 1} is wrong.", "Send one JSON object.", error);
        }
    }

    /// <summary>Takes JSON for a record.</summary>
    /// <exception cref="UserErrorException">It is not of this form.</exception>
    public static T Of<T>(JsonNode? node)
    {
        if (ExportJson.NullInList(node, "$") is { } place)
        {
            throw new UserErrorException("body", $"The body is wrong at {place}: a list has null in it.", "Leave it out.");
        }

        try
        {
            return node.Deserialize<T>(Strict) ?? throw new UserErrorException("body", "The body is null.", "Send one JSON object.");
        }
        catch (Exception error) when (error is JsonException or ArgumentException or InvalidOperationException or NotSupportedException or OverflowException)
        {
            var (path, problem) = error is JsonException json ? (json.Path ?? "$", Problem(json.Message)) : ("$", "a value is not one that it can have");
            throw new UserErrorException("body", $"The body is wrong at {path}: {problem}.", "See the OpenAPI document for what it may have.", error);
        }
    }

    /// <summary>Applies a JSON merge patch (RFC 7396): what is null is taken away, what is an object is merged, all else takes the place of what was.</summary>
    public static JsonNode? Merge(JsonNode? before, JsonNode? patch)
    {
        if (patch is not JsonObject changes)
        {
            return patch?.DeepClone();
        }

        var merged = before is JsonObject there ? (JsonObject)there.DeepClone() : [];
        foreach (var (name, value) in changes)
        {
            if (value is null)
            {
                merged.Remove(name);
            }
            else
            {
                merged[name] = Merge(merged[name], value);
            }
        }

        return merged;
    }

    // The serialiser's words name types of ours, which nobody outside knows.
    private static string Problem(string message) => message.Split(" Path:", 2)[0] switch
    {
        var text when text.Contains("including: ", StringComparison.Ordinal) =>
            "it lacks " + text.Split("including: ", 2)[1].TrimEnd('.').Replace("'", "", StringComparison.Ordinal).Replace(";", ",", StringComparison.Ordinal),
        var text when text.Contains("could not be mapped", StringComparison.Ordinal) => "there is no such property",
        var text when text.Contains("is no duration", StringComparison.Ordinal) => "that is no duration, such as 90s, 5m, 1h, 1d or 1w",
        var text when text.Contains("doesn't allow", StringComparison.Ordinal) => "it may not be null",
        _ => "the value is not one that it can have",
    };
}
