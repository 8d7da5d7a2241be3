using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>A kind of destination: what can be set, and how it is opened. The command line and the pipeline need no more of it.</summary>
public sealed record DestinationKind
{
    /// <summary>Its name: files, s3.</summary>
    public required string Name { get; init; }

    /// <summary>What it is, in one sentence.</summary>
    public required string Description { get; init; }

    /// <summary>Everything that can be set.</summary>
    public required IReadOnlyList<DestinationSetting> Settings { get; init; }

    /// <summary>
    /// Opens a destination for runs that write this format. Connects to nothing yet; throws a
    /// <see cref="UserErrorException"/> when a setting is out of range.
    /// </summary>
    public required Func<Destination, FormatOptions, IDestination> Open { get; init; }

    /// <summary>Throws when a setting is unknown, missing, of another type, or a secret among the settings, naming it.</summary>
    /// <exception cref="UserErrorException">One is.</exception>
    public void Check(Destination destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        foreach (var (name, value) in destination.Configuration())
        {
            var setting = Settings.FirstOrDefault(candidate => candidate.Name == name) ?? throw new UserErrorException(
                name, $"Destinations of kind {Name} have no setting \"{name}\".", $"The settings are {string.Join(", ", Settings.Select(known => known.Name))}.");
            if (setting.Secret != destination.Secrets.ContainsKey(name))
            {
                throw new UserErrorException(
                    name, $"{name} is {(setting.Secret ? "a secret" : "no secret")}.", $"Give it among the {(setting.Secret ? "secrets" : "settings")}.");
            }

            if (!setting.Accepts(value))
            {
                throw new UserErrorException(name, $"{name} is not {setting.TypeText}.", $"{setting.Description}");
            }
        }

        if (Settings.FirstOrDefault(setting => setting.Required && !destination.Configuration().ContainsKey(setting.Name)) is { } missing)
        {
            throw new UserErrorException(missing.Name, $"{missing.Name} is missing.", missing.Description);
        }
    }
}

/// <summary>Something that can be set of a destination.</summary>
/// <param name="Name">As in configuration: snake_case; on the command line with dashes.</param>
/// <param name="Type">Its type.</param>
/// <param name="Description">What it is, with default and bounds, in one sentence.</param>
public sealed record DestinationSetting(string Name, SettingType Type, string Description)
{
    /// <summary>Whether there is no default. Default false.</summary>
    public bool Required { get; init; }

    /// <summary>Whether it is asked for, beside those that are required, when a destination is made in a terminal. Default false.</summary>
    public bool Asked { get; init; }

    /// <summary>Whether it is encrypted at rest and never shown; then it is text. Default false.</summary>
    public bool Secret { get; init; }

    /// <summary>Whether it says where rows lie: once some lie there it stays, unless they were moved. Default false.</summary>
    public bool Place { get; init; }

    internal string TypeText => Type switch
    {
        SettingType.Number => "a whole number",
        SettingType.Boolean => "true or false",
        _ => "text",
    };

    internal bool Accepts(JsonNode? value) => (Type, value?.GetValueKind()) switch
    {
        (SettingType.Text, JsonValueKind.String) => true,
        (SettingType.Number, JsonValueKind.Number) => value!.AsValue().TryGetValue<long>(out _) || value.AsValue().TryGetValue<int>(out _),
        (SettingType.Boolean, JsonValueKind.True or JsonValueKind.False) => true,
        _ => false,
    };
}

/// <summary>The types of settings.</summary>
public enum SettingType
{
    /// <summary>Text.</summary>
    Text,

    /// <summary>A whole number.</summary>
    Number,

    /// <summary>True or false.</summary>
    Boolean,
}
