using System.CommandLine;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Cli;

/// <summary>Options that every command takes.</summary>
internal static class GlobalOptions
{
    public static Option<bool> Json { get; } = new("--json")
    {
        Description = "Answer in JSON; errors too, on standard error", Recursive = true,
    };

    public static Option<string> Config { get; } = new("--config")
    {
        Description = "Read settings from this file. Default EXPORTER_CONFIG, then exporter.yaml or exporter.json here or in ~/.config/exporter",
        HelpName = "file",
        Recursive = true,
    };

    public static Option<string> Postgres { get; } = new("--postgres")
    {
        Description = "The PostgreSQL database, without password [EXPORTER_POSTGRES]", HelpName = "connection", Recursive = true,
    };

    public static Option<string> ClickHouse { get; } = new("--clickhouse")
    {
        Description = "The ClickHouse source, without password [EXPORTER_CLICKHOUSE]", HelpName = "connection", Recursive = true,
    };

    public static Option<string> Project { get; } = new("--project")
    {
        Description = "The project that names are looked for in. Default default [EXPORTER_PROJECT]", HelpName = "name", Recursive = true,
    };

    public static Option<string> EncryptionKeyFile { get; } = new("--encryption-key-file")
    {
        Description = "The file with the encryption key [EXPORTER_ENCRYPTION_KEY, EXPORTER_ENCRYPTION_KEY_FILE]", HelpName = "file", Recursive = true,
    };

    public static void AddTo(Command root)
    {
        foreach (Option option in (Option[])[Json, Config, Project, Postgres, ClickHouse, EncryptionKeyFile])
        {
            root.Add(option);
        }
    }

    /// <summary>The settings, with the flags of this command line; <paramref name="own"/> are the command's own.</summary>
    /// <exception cref="UserErrorException">A flag holds a password, or the settings cannot be read.</exception>
    public static ExporterSettings Settings(ParseResult parse, params IEnumerable<(string Setting, Option<string> Option)> own)
    {
        var flags = new Dictionary<string, SettingValue>(StringComparer.Ordinal);
        foreach (var (setting, option) in own.Concat([("postgres", Postgres), ("clickhouse", ClickHouse), ("encryption_key_file", EncryptionKeyFile), ("project", Project)]))
        {
            if (parse.GetValue(option) is { } value)
            {
                flags[setting] = new(value, option.Name);
            }
        }

        foreach (var option in (Option<string>[])[Postgres, ClickHouse])
        {
            if (parse.GetValue(option) is { } connection && ConnectionText.HasPassword(connection))
            {
                var setting = option.Name[2..];
                throw new UserErrorException(
                    setting,
                    $"{option.Name} holds a password, which every user of this machine can see.",
                    $"Put the connection string into EXPORTER_{setting.ToUpperInvariant()} or the configuration file.");
            }
        }

        return SettingsLoader.Load(flags, parse.GetValue(Config), Environment.GetEnvironmentVariable);
    }
}
