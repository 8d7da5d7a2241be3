using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace Exporter.Exports.Cli;

/// <summary>
/// A destination in a YAML file: <c>kind</c>, <c>name</c>, and the kind's settings by their names. A secret stands there itself, or as
/// <c>NAME_env</c> or <c>NAME_file</c> the variable or file that holds it.
/// </summary>
internal static class DestinationFile
{
    /// <summary>Reads a destination; what the kind asks of it is checked later.</summary>
    /// <exception cref="UserErrorException">The file cannot be read, or has something that the kind does not know.</exception>
    public static Destination Read(string path) => Of(Values(path), path);

    /// <summary>The same, of settings that were read already.</summary>
    /// <param name="values">Settings by name; taken apart.</param>
    /// <param name="path">The file's name, for errors.</param>
    /// <exception cref="UserErrorException">They have something that the kind does not know.</exception>
    public static Destination Of(Dictionary<string, string> values, string path)
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
            else if (kind.Settings.FirstOrDefault(setting => setting.Secret && key == setting.Name + "_env") is { } inVariable)
            {
                secrets[inVariable.Name] = SecretText.ReadVariable(inVariable.Name, value);
            }
            else if (kind.Settings.FirstOrDefault(setting => setting.Secret && key == setting.Name + "_file") is { } inFile)
            {
                secrets[inFile.Name] = SecretText.ReadFile(inFile.Name, value);
            }
            else
            {
                throw new UserErrorException(
                    key, $"{path} has a setting \"{key}\", which destinations of kind {kind.Name} do not have.", $"The settings are {string.Join(", ", kind.Settings.Select(setting => setting.Name))}.");
            }
        }

        return new Destination { Name = name, Kind = kind.Name, Settings = settings, Secrets = secrets };
    }

    private static Dictionary<string, string> Values(string path)
    {
        try
        {
            var text = path == "-" ? Console.In.ReadToEnd() : File.ReadAllText(path);
            return new DeserializerBuilder().Build().Deserialize<Dictionary<string, string>?>(text) ?? [];
        }
        catch (YamlException error)
        {
            throw new UserErrorException(
                "file",
                string.Create(CultureInfo.InvariantCulture, $"{path} is not a list of settings: line {error.Start.Line} is wrong."),
                "Write one \"name: value\" a line.",
                error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException("file", $"{path} cannot be read: {error.Message}", "Correct its path or its permissions.", error);
        }
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
