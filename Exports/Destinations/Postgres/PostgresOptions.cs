using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>A table of a PostgreSQL database, and how rows get into it.</summary>
internal sealed record PostgresOptions
{
    public const string HostSetting = "host";
    public const string PortSetting = "port";
    public const string DatabaseSetting = "database";
    public const string UsernameSetting = "username";
    public const string PasswordSetting = "password";
    public const string SchemaSetting = "schema";
    public const string TableSetting = "table";
    public const string ModeSetting = "mode";
    public const string KeySetting = "key";
    public const string VersionSetting = "version";
    public const string DeleteSetting = "delete_column";
    public const string ProvenanceSetting = "provenance_column";
    public const string SslModeSetting = "ssl_mode";
    public const string RootCertificateSetting = "root_certificate";
    public const string ConnectTimeoutSetting = "connect_timeout";
    public const string TimeoutSetting = "timeout";

    /// <summary>The column that says which commit brought a row.</summary>
    public const string DefaultProvenance = "_exporter_commit";

    /// <summary>What names may have, in bytes; PostgreSQL cuts longer ones off without a word.</summary>
    public const int LongestName = 63;

    private const string ExportPlace = "{export}";

    private static readonly Dictionary<string, SslMode> SslModes = new()
    {
        ["disable"] = Npgsql.SslMode.Disable,
        ["prefer"] = Npgsql.SslMode.Prefer,
        ["require"] = Npgsql.SslMode.Require,
        ["verify-ca"] = Npgsql.SslMode.VerifyCA,
        ["verify-full"] = Npgsql.SslMode.VerifyFull,
    };

    public static DestinationKind Kind { get; } = new()
    {
        Name = "postgres",
        Description = "Rows in a table of a PostgreSQL database.",
        Settings =
        [
            new(HostSetting, SettingType.Text, "The server.") { Required = true, Place = true },
            new(DatabaseSetting, SettingType.Text, "The database; it must be there.") { Required = true, Place = true },
            new(UsernameSetting, SettingType.Text, "The user.") { Required = true },
            new(PasswordSetting, SettingType.Text, "The user's password. Default none.") { Secret = true, Asked = true },
            new(PortSetting, SettingType.Number, "The port. Default 5432; from 1 to 65535."),
            new(SchemaSetting, SettingType.Text, "The schema of the table, and of the exporter's own tables; it must be there. Default public.") { Place = true },
            new(TableSetting, SettingType.Text, "The table, made if it is missing; {export} stands for the export's name. Default {export}.") { Place = true },
            new(ModeSetting, SettingType.Text, "append: rows are added; merge: rows of one key become one. Default append.") { Place = true },
            new(KeySetting, SettingType.Text, "For merge: the columns that identify a row, separated by commas."),
            new(VersionSetting, SettingType.Text, "For merge: of rows with one key, the highest of this column stays. Default the row that came last."),
            new(DeleteSetting, SettingType.Text, "For merge: a row in which this column is true or not 0 is deleted. Default none."),
            new(ProvenanceSetting, SettingType.Text, "For append: a bigint column that says which commit brought a row, needed to export an interval again; empty for none. Default _exporter_commit.") { Place = true },
            new(SslModeSetting, SettingType.Text, "disable, prefer, require, verify-ca or verify-full, as in libpq. Default verify-full."),
            new(RootCertificateSetting, SettingType.Text, "The file with the certificates that are trusted, on every machine that a worker runs on. Default the machine's."),
            new(ConnectTimeoutSetting, SettingType.Number, "Seconds that connecting may take. Default 15; from 1 to 300."),
            new(TimeoutSetting, SettingType.Number, "Seconds that the server may take for one statement, or for taking some rows. Default 600; from 1 to 86400."),
        ],
        Open = (destination, _) => new PostgresDestination(DestinationOptions.Read<PostgresOptions>(destination).Validate()),
    };

    public required string Host { get; init; }

    public int Port { get; init; } = 5432;

    public required string Database { get; init; }

    public required string Username { get; init; }

    public string? Password { get; init; }

    public string Schema { get; init; } = "public";

    public string Table { get; init; } = ExportPlace;

    public string Mode { get; init; } = "append";

    public string Key { get; init; } = "";

    public string? Version { get; init; }

    public string? DeleteColumn { get; init; }

    public string ProvenanceColumn { get; init; } = DefaultProvenance;

    public string SslMode { get; init; } = "verify-full";

    public string? RootCertificate { get; init; }

    public int ConnectTimeout { get; init; } = 15;

    public int Timeout { get; init; } = 600;

    [JsonIgnore]
    public bool IsMerge => Mode == "merge";

    /// <summary>The columns of the key, in the order that was given.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> KeyColumns { get; private init; } = [];

    /// <summary>The column that says which commit brought a row; null when there is none.</summary>
    [JsonIgnore]
    public string? Provenance => IsMerge || ProvenanceColumn.Length == 0 ? null : ProvenanceColumn;

    /// <summary>The server and database, for messages.</summary>
    [JsonIgnore]
    public string Place => string.Create(CultureInfo.InvariantCulture, $"{Host}:{Port}");

    /// <summary>The table of an export.</summary>
    /// <exception cref="UserErrorException">Its name would be too long.</exception>
    public string TableOf(string export) => Name(TableSetting, Table.Replace(ExportPlace, export, StringComparison.Ordinal));

    public PostgresOptions Validate()
    {
        NotEmpty(HostSetting, Host);
        NotEmpty(DatabaseSetting, Database);
        NotEmpty(UsernameSetting, Username);
        Within(PortSetting, Port, 1, 65535);
        Within(ConnectTimeoutSetting, ConnectTimeout, 1, 300);
        Within(TimeoutSetting, Timeout, 1, 86400);
        Name(SchemaSetting, Schema);
        NotEmpty(TableSetting, Table);
        if (!SslModes.ContainsKey(SslMode))
        {
            throw new UserErrorException(SslModeSetting, $"\"{SslMode}\" is no way to use TLS.", $"Use {string.Join(", ", SslModes.Keys)}.");
        }

        if (RootCertificate is not null && !Path.IsPathFullyQualified(RootCertificate))
        {
            throw new UserErrorException(RootCertificateSetting, $"\"{RootCertificate}\" is no absolute path.", "Give the whole path of a PEM file.");
        }

        if (RootCertificate is not null && SslMode is "disable" or "prefer" or "require")
        {
            throw new UserErrorException(
                RootCertificateSetting, $"A root certificate is not looked at when ssl_mode is {SslMode}.", "Use verify-ca or verify-full, or leave it out.");
        }

        return ValidateMode();
    }

    /// <summary>For connecting. Nothing of it may stand in a message.</summary>
    public string ConnectionString() => new NpgsqlConnectionStringBuilder
    {
        Host = Host,
        Port = Port,
        Database = Database,
        Username = Username,
        Password = Password,
        SslMode = SslModes[SslMode],
        RootCertificate = RootCertificate,
        Timeout = ConnectTimeout,
        CommandTimeout = Timeout,
        TcpKeepAlive = true,
        ApplicationName = "exporter",

        // Statements are many and each is used once or twice; and what has no server session of its own behind a pooler keeps none.
        MaxAutoPrepare = 0,
        NoResetOnClose = true,
        Multiplexing = false,
        Enlist = false,
        WriteBufferSize = 64 * 1024,
    }.ConnectionString;

    private PostgresOptions ValidateMode()
    {
        var key = MergeMode.Check(Mode, Key, Version, DeleteColumn);
        if (!IsMerge)
        {
            if (ProvenanceColumn.Length > 0)
            {
                Name(ProvenanceSetting, ProvenanceColumn);
            }

            return this;
        }

        MergeMode.CheckKey(key, StringComparer.Ordinal);
        return this with { KeyColumns = key, Version = Empty(Version), DeleteColumn = Empty(DeleteColumn) };
    }

    private static string? Empty(string? value) => string.IsNullOrEmpty(value) ? null : value;

    private static string Name(string setting, string value)
    {
        NotEmpty(setting, value);
        if (Encoding.UTF8.GetByteCount(value) > LongestName || value.Contains('\0', StringComparison.Ordinal))
        {
            throw new UserErrorException(
                setting, $"\"{value}\" cannot be a name in PostgreSQL.", string.Create(CultureInfo.InvariantCulture, $"Use {LongestName} bytes at most."));
        }

        return value;
    }

    private static void NotEmpty(string setting, string value)
    {
        if (string.IsNullOrWhiteSpace(value))
        {
            throw new UserErrorException(setting, $"{setting} is empty.", "Give it a value.");
        }
    }

    private static void Within(string setting, int value, int least, int most)
    {
        if (value < least || value > most)
        {
            throw new UserErrorException(
                setting,
                string.Create(CultureInfo.InvariantCulture, $"{setting} is {value}."),
                string.Create(CultureInfo.InvariantCulture, $"Give a value from {least} to {most}."));
        }
    }
}
