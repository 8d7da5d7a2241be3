using System.Text.Json.Nodes;

namespace Exporter.Exports.Model;

/// <summary>What is to be changed of a destination; the rest stays. The next attempt of a slice has it, also of runs in progress: so a wrong key is
/// mended while they wait. Its name and kind stay for good.</summary>
public sealed record DestinationEdit
{
    /// <summary>Settings by name; null takes one away. Default none.</summary>
    public IReadOnlyDictionary<string, JsonNode?> Settings { get; init; } = new Dictionary<string, JsonNode?>();

    /// <summary>Secrets by name; null takes one away. Default none.</summary>
    public IReadOnlyDictionary<string, string?> Secrets { get; init; } = new Dictionary<string, string?>();

    /// <summary>That what was exported so far lies where the destination points to after the edit. Default false: then a setting that says where rows
    /// lie cannot change once some do.</summary>
    public bool RowsWereMoved { get; init; }

    /// <summary>Refuses the edit when somebody has changed the destination since: <see cref="DestinationView.UpdatedAt"/> as it was read. Default
    /// null: the last edit wins.</summary>
    public DateTimeOffset? UnchangedSince { get; init; }

    /// <summary>The fields that become others; secrets masked.</summary>
    internal IReadOnlyList<FieldChange> Changes(DestinationView before, Destination edited) =>
    [
        .. FieldChange.Between(before.Settings, edited.Settings),
        .. Secrets.Select(secret => new FieldChange(secret.Key, before.SecretNames.Contains(secret.Key) ? "***" : null, secret.Value is null ? null : "***")),
    ];

    /// <summary>The destination after the edit.</summary>
    public Destination Of(Destination destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        var settings = (JsonObject)destination.Settings.DeepClone();
        foreach (var (name, value) in Settings)
        {
            settings.Remove(name);
            if (value is not null)
            {
                settings[name] = value.DeepClone();
            }
        }

        var secrets = new Dictionary<string, string>(destination.Secrets, StringComparer.Ordinal);
        foreach (var (name, value) in Secrets)
        {
            secrets.Remove(name);
            if (value is not null)
            {
                secrets[name] = value;
            }
        }

        return destination with { Settings = settings, Secrets = secrets };
    }
}
