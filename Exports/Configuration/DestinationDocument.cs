using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>A destination as it stands in a file: <c>kind</c>, <c>name</c>, and the kind's settings by their names, secrets among them.</summary>
internal static class DestinationDocument
{
    /// <summary>A destination as it stands in a configuration, checked as its kind asks.</summary>
    /// <param name="one">The destination.</param>
    /// <param name="path">Where it stands, for errors.</param>
    /// <param name="references">Whether a secret may be the name of a variable or a file of this machine.</param>
    /// <exception cref="UserErrorException">It is not one that can be.</exception>
    public static Destination Of(JsonObject one, string path, bool references)
    {
        if (one.FirstOrDefault(pair => pair.Value is JsonObject or JsonArray) is { Key: { } nested })
        {
            throw new UserErrorException(nested, $"{path}: {nested} of a destination is no single value.", "Settings of a destination are texts, numbers and truths.");
        }

        var destination = Of(
            one.Where(pair => pair.Value is not null).ToDictionary(pair => pair.Key, pair => pair.Value!.ToString() is var text && pair.Value!.GetValueKind() is JsonValueKind.True or JsonValueKind.False ? text.ToLowerInvariant() : text, StringComparer.Ordinal),
            path,
            references).Validate();
        DestinationKinds.Get(destination.Kind).Check(destination);
        return destination;
    }

    /// <summary>A destination of settings in a list; what the kind asks of it is checked later.</summary>
    /// <param name="values">Settings by name; taken apart.</param>
    /// <param name="path">Where they stand, for errors.</param>
    /// <param name="references">Whether a secret may be the name of a variable or a file of this machine; not when somebody else sent it.</param>
    /// <exception cref="UserErrorException">They have something that the kind does not know.</exception>
    public static Destination Of(Dictionary<string, string> values, string path, bool references)
    {
        var kind = DestinationKinds.Get(Take(values, "kind", path));
        var name = Take(values, "name", path);
        var settings = new JsonObject();
        var secrets = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in values)
        {
            if (kind.Settings.FirstOrDefault(setting => setting.Name == key) is { } plain)
            {
                if (plain.Secret)
                {
                    secrets[key] = value;
                }
                else
                {
                    settings[key] = Typed(plain, value);
                }
            }
            else if (kind.Settings.FirstOrDefault(setting => references && setting.Secret && key == setting.Name + "_env") is { } inVariable)
            {
                secrets[inVariable.Name] = SecretText.ReadVariable(inVariable.Name, value);
            }
            else if (kind.Settings.FirstOrDefault(setting => references && setting.Secret && key == setting.Name + "_file") is { } inFile)
            {
                secrets[inFile.Name] = SecretText.ReadFile(inFile.Name, value);
            }
            else if (kind.Settings.Any(setting => setting.Secret && (key == setting.Name + "_env" || key == setting.Name + "_file")))
            {
                throw new UserErrorException(key, $"{key} would be read on the server.", "Send the secret itself, or leave it out to keep the one that is there.");
            }
            else
            {
                throw new UserErrorException(
                    key, $"{path} has a setting \"{key}\", which destinations of kind {kind.Name} do not have.", $"The settings are {string.Join(", ", kind.Settings.Select(setting => setting.Name))}.");
            }
        }

        return new Destination { Name = name, Kind = kind.Name, Settings = settings, Secrets = secrets };
    }

    private static string Take(Dictionary<string, string> values, string key, string path) => values.Remove(key, out var value) && !string.IsNullOrEmpty(value)
        ? value
        : throw new UserErrorException(key, $"{path} has no {key}.", $"Write a line \"{key}: ...\".");

    /// <summary>A value as the setting has it; what is of another type stays text, which the kind then refuses. YAML knows more ways to write a
    /// truth than true and false; these are enough to be understood by everyone.</summary>
    internal static JsonNode Typed(DestinationSetting setting, string value) => setting.Type switch
    {
        SettingType.Number when long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) => JsonValue.Create(number),
        SettingType.Boolean when bool.TryParse(value, out var yes) => JsonValue.Create(yes),
        _ => JsonValue.Create(value)!,
    };
}
