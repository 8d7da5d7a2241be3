using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Api;

/// <summary>A query parameter: how it is read, and its JSON schema.</summary>
internal abstract record ApiParameter(string Name, string Description)
{
    public abstract JsonObject Schema();
}

/// <summary>A query parameter of a type.</summary>
internal sealed record ApiParameter<T>(string Name, string Description, Func<string, (bool Ok, T? Value)> Read, string Wanted, Func<JsonObject> MakeSchema)
    : ApiParameter(Name, Description)
{
    /// <summary>Its value when it is not given. Default none.</summary>
    public T? Usual { get; init; }

    public override JsonObject Schema() => MakeSchema();

    /// <summary>Its value.</summary>
    /// <exception cref="UserErrorException">It is not one that it can have.</exception>
    public T? Of(string? text)
    {
        if (text is null)
        {
            return Usual;
        }

        var (ok, value) = Read(text);
        return ok ? value : throw new UserErrorException(Name, $"{Name} is not {Wanted}.", $"Give {Wanted}, or leave it out.");
    }
}

/// <summary>The parameters that there are.</summary>
internal static class ApiParameters
{
    private const int MostText = 1_000;

    private static readonly string[] TimeFormats =
        ["yyyy-MM-dd", "yyyy-MM-ddTHH:mmK", "yyyy-MM-ddTHH:mm:ssK", "yyyy-MM-ddTHH:mm:ss.FFFFFFFK"];

    public static ApiParameter<int?> Limit { get; } = Number("limit", "How many at most. Default 50; from 1 to 200.", 1, 200) with { Usual = 50 };

    public static ApiParameter<string> Cursor { get; } = Text("cursor", "next_cursor of the page before.");

    public static ApiParameter<string> Text(string name, string description) => new(
        name, description, text => (text.Length <= MostText && !text.Contains('\0', StringComparison.Ordinal), text), $"a text of at most {MostText} characters",
        () => new JsonObject { ["type"] = "string", ["maxLength"] = MostText });

    public static ApiParameter<bool> Truth(string name, string description) => new(
        name, description, text => text is "true" or "1" ? (true, true) : (text is "false" or "0", false), "true or false", () => new JsonObject { ["type"] = "boolean" });

    public static ApiParameter<int?> Number(string name, string description, int least, int most) => new(
        name,
        description,
        text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most ? (true, number) : (false, null),
        string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}"),
        () => new JsonObject { ["type"] = "integer", ["minimum"] = least, ["maximum"] = most });

    public static ApiParameter<long?> Id(string name, string description) => new(
        name,
        description,
        text => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? (true, number) : (false, null),
        "a whole number from 0",
        () => new JsonObject { ["type"] = "integer", ["minimum"] = 0 });

    public static ApiParameter<Guid?> Uuid(string name, string description) => new(
        name, description, text => Guid.TryParseExact(text, "D", out var id) ? (true, id) : (false, null), "an id",
        () => new JsonObject { ["type"] = "string", ["format"] = "uuid" });

    public static ApiParameter<DateTimeOffset?> Time(string name, string description) => new(
        name,
        description,
        text => DateTimeOffset.TryParseExact(text, TimeFormats, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var time)
            ? (true, time)
            : (false, null),
        "a time such as 2026-01-31 or 2026-01-31T12:00:00Z",
        () => new JsonObject { ["type"] = "string", ["description"] = "ISO 8601, UTC unless it says otherwise: 2026-01-31 or 2026-01-31T12:00:00Z." });

    public static ApiParameter<T?> Word<T>(string name, string description)
        where T : struct, Enum => new(
            name,
            description,
            text => ExportJson.Find<T>(text) is { } value ? (true, value) : (false, null),
            "one of " + string.Join(", ", ExportJson.Words<T>()),
            () => new JsonObject { ["type"] = "string", ["enum"] = new JsonArray([.. ExportJson.Words<T>().Select(word => JsonValue.Create(word))]) });
}
