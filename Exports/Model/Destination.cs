using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>A place that batch exports go to, with everything needed to reach it.</summary>
public sealed record Destination
{
    /// <summary>Its id. Default a new one, ordered by time.</summary>
    public Guid Id { get; init; } = Guid.CreateVersion7();

    /// <summary>Its name, unique among destinations of a project; see <see cref="ModelName"/>.</summary>
    public required string Name { get; init; }

    /// <summary>Its kind: files, s3.</summary>
    public required string Kind { get; init; }

    /// <summary>Everything that is not secret, by the kind's names; numbers and booleans keep their types. Default none.</summary>
    public JsonObject Settings { get; init; } = [];

    /// <summary>Everything that is secret, by the kind's names; encrypted at rest, in no view, log or output. Default none.</summary>
    public IReadOnlyDictionary<string, string> Secrets { get; init; } = new Dictionary<string, string>();

    /// <summary>Settings and secrets in one object, as the kind's options are read from.</summary>
    public JsonObject Configuration()
    {
        var all = (JsonObject)Settings.DeepClone();
        foreach (var (name, value) in Secrets)
        {
            all[name] = value;
        }

        return all;
    }

    /// <summary>Throws when a value is out of range, naming it. What a kind asks of its settings is the kind's to check.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public Destination Validate()
    {
        ModelName.Check("name", Name);
        if (Secrets.Keys.FirstOrDefault(Settings.ContainsKey) is { } twice)
        {
            throw new UserErrorException(twice, $"\"{twice}\" stands among the settings and among the secrets.", "Give it once.");
        }

        return this;
    }

    /// <summary>For logs: no settings, no secrets.</summary>
    public override string ToString() => $"{Kind} destination {Name}";
}
