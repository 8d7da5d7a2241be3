using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace Exporter.Exports.Cli;

/// <summary>Reads the settings: a flag goes before the environment, and that before the file.</summary>
internal static class SettingsLoader
{
    private static readonly string[] FileNames = ["exporter.yaml", "exporter.yml", "exporter.json"];

    /// <summary>Loads.</summary>
    /// <param name="flags">What was given by flag, by the settings' names.</param>
    /// <param name="configFile">The value of <c>--config</c>.</param>
    /// <param name="environment">The environment.</param>
    /// <exception cref="UserErrorException">The file cannot be read, or has a setting that is not known.</exception>
    public static ExporterSettings Load(
        IReadOnlyDictionary<string, SettingValue> flags, string? configFile, Func<string, string?> environment)
    {
        var file = FileOf(configFile, environment);
        var values = file is null ? [] : Read(file);
        foreach (var info in ExporterSettings.Known)
        {
            // An empty variable is as good as none: that is how a shell unsets one for a command.
            if (environment(info.Variable) is { Length: > 0 } value)
            {
                values[info.Name] = new(value, info.Variable);
            }
        }

        foreach (var (name, value) in flags)
        {
            values[name] = value;
        }

        Resolve(values);
        return new ExporterSettings(values, file);
    }

    // Connection strings in the words of the drivers, and the key out of its file.
    private static void Resolve(Dictionary<string, SettingValue> values)
    {
        if (values.TryGetValue("postgres", out var postgres))
        {
            values["postgres"] = postgres with { Text = ConnectionText.Postgres(postgres.Text) };
        }

        if (values.TryGetValue("clickhouse", out var clickHouse))
        {
            values["clickhouse"] = clickHouse with { Text = ConnectionText.ClickHouse(clickHouse.Text) };
        }

        // The nearer of the two wins: a flag for the file beats a key in the environment.
        if (values.TryGetValue("encryption_key_file", out var keyFile)
            && (!values.TryGetValue("encryption_key", out var key) || Rank(keyFile) < Rank(key)))
        {
            values["encryption_key"] = new(SecretText.ReadFile("encryption_key_file", keyFile.Text), $"{keyFile.Source} ({keyFile.Text})");
        }
    }

    private static int Rank(SettingValue value) =>
        value.Source.StartsWith("--", StringComparison.Ordinal) ? 0 : value.Source.StartsWith("EXPORTER_", StringComparison.Ordinal) ? 1 : 2;

    private static string? FileOf(string? configFile, Func<string, string?> environment)
    {
        var (named, setting) = configFile is not null ? (configFile, "--config") : (environment("EXPORTER_CONFIG"), "EXPORTER_CONFIG");
        if (!string.IsNullOrEmpty(named))
        {
            return File.Exists(named) ? named : throw new UserErrorException(
                "config", $"There is no file {named}.", $"Correct {setting}.");
        }

        var home = environment("XDG_CONFIG_HOME") is { Length: > 0 } xdg
            ? xdg
            : Path.Combine(environment("HOME") ?? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".config");
        return FileNames.Concat(FileNames.Select(name => Path.Combine(home, "exporter", name))).FirstOrDefault(File.Exists);
    }

    // JSON is YAML, so one reader is enough.
    private static Dictionary<string, SettingValue> Read(string file)
    {
        Dictionary<string, string?>? read;
        try
        {
            read = new DeserializerBuilder().Build().Deserialize<Dictionary<string, string?>?>(File.ReadAllText(file));
        }
        catch (YamlException error)
        {
            throw new UserErrorException(
                "config",
                $"{file} is not a list of settings: line {error.Start.Line} is wrong.",
                "Write one \"name: value\" a line.",
                error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException("config", $"{file} cannot be read: {error.Message}", "Correct its path or its permissions.", error);
        }

        var known = ExporterSettings.Known.Select(info => info.Name).ToHashSet(StringComparer.Ordinal);
        if (read?.Keys.FirstOrDefault(name => !known.Contains(name)) is { } unknown)
        {
            throw new UserErrorException("config", $"{file} has a setting \"{unknown}\".", $"The settings are {string.Join(", ", known)}.");
        }

        return read?.Where(pair => pair.Value is not null).ToDictionary(pair => pair.Key, pair => new SettingValue(pair.Value!, file), StringComparer.Ordinal) ?? [];
    }
}
