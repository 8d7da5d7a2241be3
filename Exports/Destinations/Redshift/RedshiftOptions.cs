using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Exporter.Exports.Destinations.Postgres;
using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Destinations.Staging;
using Npgsql;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>A table in Amazon Redshift, provisioned or serverless, and how rows get into it.</summary>
internal sealed partial record RedshiftOptions
{
    public const string HostSetting = PostgresOptions.HostSetting;
    public const string DatabaseSetting = PostgresOptions.DatabaseSetting;
    public const string UsernameSetting = PostgresOptions.UsernameSetting;
    public const string SchemaSetting = PostgresOptions.SchemaSetting;
    public const string TableSetting = PostgresOptions.TableSetting;
    public const string LoadSetting = "load";
    public const string KeySetting = PostgresOptions.KeySetting;
    public const string VersionSetting = PostgresOptions.VersionSetting;
    public const string DeleteSetting = PostgresOptions.DeleteSetting;
    public const string ProvenanceSetting = PostgresOptions.ProvenanceSetting;
    public const string RoleSetting = "iam_role";
    public const string CopyKeySetting = "copy_access_key";
    public const string CopySecretSetting = "copy_secret_key";
    public const string TimeoutSetting = PostgresOptions.TimeoutSetting;

    private const string ExportPlace = "{export}";

    public static DestinationKind Kind { get; } = new()
    {
        Name = "redshift",
        Description = "Rows in a table in Amazon Redshift, staged as Parquet files in a bucket, or inserted.",
        Settings =
        [
            new(HostSetting, SettingType.Text, "The endpoint of the cluster or workgroup, without port and database.") { Required = true, Place = true },
            new(DatabaseSetting, SettingType.Text, "The database; it must be there.") { Required = true, Place = true },
            new(UsernameSetting, SettingType.Text, "The user.") { Required = true },
            new(PostgresOptions.PasswordSetting, SettingType.Text, "The user's password. Default none.") { Secret = true, Asked = true },
            new(PostgresOptions.PortSetting, SettingType.Number, "The port. Default 5439; from 1 to 65535."),
            new(SchemaSetting, SettingType.Text, "The schema of the table, and of the exporter's own tables; it must be there. Default public.") { Place = true },
            new(TableSetting, SettingType.Text, "The table, made if it is missing; {export} stands for the export's name. Default {export}.") { Place = true },
            new(LoadSetting, SettingType.Text, "copy: rows go through files in a bucket, which COPY reads; insert: by INSERT with many rows, slower and without a bucket. Default copy."),
            new(PostgresOptions.ModeSetting, SettingType.Text, "append: rows are added; merge: rows of one key become one. Default append.") { Place = true },
            new(KeySetting, SettingType.Text, "For merge: the columns that identify a row, separated by commas."),
            new(VersionSetting, SettingType.Text, "For merge: of rows with one key, the highest of this column stays. Default the row that came last."),
            new(DeleteSetting, SettingType.Text, "For merge: a row in which this column is true or not 0 is deleted. Default none."),
            new(ProvenanceSetting, SettingType.Text, "For append: a text column that says which commit brought a row, needed to export an interval again; empty for none. Default _exporter_commit.") { Place = true },
            new(RoleSetting, SettingType.Text, "For copy: the role with which Redshift reads the bucket, as an ARN, several as a chain separated by commas, or default. Default none: keys.") { Asked = true },
            new(CopyKeySetting, SettingType.Text, "For copy without a role: the access key with which Redshift reads the bucket. Default stage_access_key.") { Secret = true },
            new(CopySecretSetting, SettingType.Text, "Its secret. Default stage_secret_key.") { Secret = true },
            .. StageSettings.All(isRequired: false),
            new(PostgresOptions.SslModeSetting, SettingType.Text, "disable, prefer, require, verify-ca or verify-full, as in libpq. Default verify-full."),
            new(PostgresOptions.RootCertificateSetting, SettingType.Text, "The file with the certificates that are trusted, on every machine that a worker runs on. Default the machine's."),
            new(PostgresOptions.ConnectTimeoutSetting, SettingType.Number, "Seconds that connecting may take. Default 30; from 1 to 300."),
            new(TimeoutSetting, SettingType.Number, "Seconds that a statement may take, also while it waits for another slice's. Default 3600; from 1 to 86400."),
        ],
        Open = (destination, format) =>
        {
            var options = DestinationOptions.Read<RedshiftOptions>(destination).Validate();
            return new RedshiftDestination(options, options.IsCopy ? StageSettings.Read(destination) : null, format);
        },
    };

    public required string Host { get; init; }

    public int Port { get; init; } = 5439;

    public required string Database { get; init; }

    public required string Username { get; init; }

    public string? Password { get; init; }

    public string Schema { get; init; } = "public";

    public string Table { get; init; } = ExportPlace;

    public string Load { get; init; } = "copy";

    public string Mode { get; init; } = "append";

    public string Key { get; init; } = "";

    public string? Version { get; init; }

    public string? DeleteColumn { get; init; }

    public string ProvenanceColumn { get; init; } = PostgresOptions.DefaultProvenance;

    public string? IamRole { get; init; }

    public string? CopyAccessKey { get; init; }

    public string? CopySecretKey { get; init; }

    public string? StageBucket { get; init; }

    public string? StageAccessKey { get; init; }

    public string? StageSecretKey { get; init; }

    public string SslMode { get; init; } = "verify-full";

    public string? RootCertificate { get; init; }

    public int ConnectTimeout { get; init; } = 30;

    public int Timeout { get; init; } = 3_600;

    [JsonIgnore]
    public bool IsCopy => Load == "copy";

    [JsonIgnore]
    public bool IsMerge => Mode == "merge";

    /// <summary>The columns of the key as the table has them, in the order that was given.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> KeyColumns { get; private init; } = [];

    /// <summary>The version's column as the table has it; null when there is none.</summary>
    [JsonIgnore]
    public string? VersionName => string.IsNullOrEmpty(Version) ? null : RedshiftName.Of(Version);

    /// <summary>The flag's column as the table has it; null when there is none.</summary>
    [JsonIgnore]
    public string? DeleteName => string.IsNullOrEmpty(DeleteColumn) ? null : RedshiftName.Of(DeleteColumn);

    /// <summary>The column that says which commit brought a row; null when there is none.</summary>
    [JsonIgnore]
    public string? Provenance => IsMerge || ProvenanceColumn.Length == 0 ? null : RedshiftName.Of(ProvenanceColumn);

    [JsonIgnore]
    public string SchemaName => RedshiftName.Of(Schema);

    /// <summary>The server as PostgreSQL's driver sees it, which has the same settings by the same names.</summary>
    [JsonIgnore]
    public PostgresOptions Server => new()
    {
        Host = Host, Port = Port, Database = Database, Username = Username, Password = Password, SslMode = SslMode, RootCertificate = RootCertificate,
        ConnectTimeout = ConnectTimeout, Timeout = Timeout, Mode = Mode, Key = Key, Version = Version, DeleteColumn = DeleteColumn, ProvenanceColumn = "",
    };

    /// <summary>The server, for messages.</summary>
    [JsonIgnore]
    public string Place => Server.Place;

    /// <summary>The setting that says how Redshift reads the bucket.</summary>
    [JsonIgnore]
    public string ReadSetting => IamRole is not null ? RoleSetting : CopyAccessKey is not null ? CopyKeySetting : StageSettings.Prefix + S3Options.AccessKeySetting;

    /// <summary>What must never be shown.</summary>
    [JsonIgnore]
    public IEnumerable<string> Secrets => new[] { Password, CopyAccessKey, CopySecretKey, StageAccessKey, StageSecretKey }.OfType<string>().Where(secret => secret.Length > 0);

    /// <summary>The table of an export.</summary>
    /// <exception cref="UserErrorException">It cannot have this name.</exception>
    public string TableOf(string export) => Name(TableSetting, RedshiftName.Of(Table.Replace(ExportPlace, export, StringComparison.Ordinal)));

    /// <summary>A name in the schema, as it stands in SQL.</summary>
    public string InSchema(string name) => RedshiftName.In(SchemaName, name);

    /// <summary>What COPY says of who reads the bucket: https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-authorization.html. Has keys in it where there
    /// is no role.</summary>
    public string Authorization() => IamRole switch
    {
        null => $"ACCESS_KEY_ID {RedshiftName.Literal(CopyAccessKey ?? StageAccessKey!)} SECRET_ACCESS_KEY {RedshiftName.Literal(CopySecretKey ?? StageSecretKey!)}",
        "default" => "IAM_ROLE default",
        _ => $"IAM_ROLE {RedshiftName.Literal(IamRole)}",
    };

    /// <summary>Makes connections. The driver's own mode for Redshift does nothing any more (npgsql issue 5926); what it needs is not to look for types in a catalogue that
    /// is PostgreSQL 8.0's: those that are used here have the numbers that it knows.</summary>
    public NpgsqlDataSource DataSource()
    {
        var builder = new NpgsqlDataSourceBuilder(Server.ConnectionString());
        builder.ConnectionStringBuilder.GssEncryptionMode = GssEncryptionMode.Disable;

        // A detail says which column it is; RedshiftException keeps no more of it than that.
        builder.ConnectionStringBuilder.IncludeErrorDetail = true;
        builder.ConfigureTypeLoading(types => types.EnableTypeLoading(false));
        return builder.Build();
    }

    public RedshiftOptions Validate()
    {
        if (Load is not ("copy" or "insert"))
        {
            throw new UserErrorException(LoadSetting, $"There is no load \"{Load}\".", "Use copy or insert.");
        }

        if (Host.Contains('/', StringComparison.Ordinal) || Host.Contains(':', StringComparison.Ordinal))
        {
            throw new UserErrorException(HostSetting, $"\"{Host}\" is more than a host.", "Give the endpoint without its port and database, which have settings of their own.");
        }

        // Connection, TLS, mode and key are PostgreSQL's, and so are what they may be.
        var key = Server.Validate().KeyColumns.Select(RedshiftName.Of).ToList();
        Name(SchemaSetting, SchemaName);
        NotEmpty(TableSetting, Table);
        if (ProvenanceColumn.Length > 0 && !RedshiftName.IsColumnName(RedshiftName.Of(ProvenanceColumn)))
        {
            throw NotAName(ProvenanceSetting, ProvenanceColumn);
        }

        if (key.Distinct(StringComparer.Ordinal).Count() < key.Count)
        {
            throw new UserErrorException(KeySetting, "The key names a column twice.", "Name each column once; capitals do not matter.");
        }

        if (IsCopy)
        {
            CheckCopy();
        }

        return this with { KeyColumns = key };
    }

    private void CheckCopy()
    {
        if (string.IsNullOrEmpty(StageBucket))
        {
            throw new UserErrorException(
                StageSettings.Prefix + S3Options.BucketSetting, "There is no bucket for COPY to read from.", "Give a bucket in Redshift's region, or set load to insert.");
        }

        if (IamRole is not null && IamRole != "default" && !Role().IsMatch(IamRole))
        {
            throw new UserErrorException(RoleSetting, $"\"{IamRole}\" is no role.", "Give its ARN, such as arn:aws:iam::123456789012:role/redshift, several separated by commas, or default.");
        }

        if (IamRole is not null && (CopyAccessKey ?? CopySecretKey) is not null)
        {
            throw new UserErrorException(CopyKeySetting, "A role and keys are both given for COPY.", "Give one of them.");
        }

        var keys = (CopyAccessKey ?? StageAccessKey, CopySecretKey ?? StageSecretKey);
        if (IamRole is null && (string.IsNullOrEmpty(keys.Item1) || string.IsNullOrEmpty(keys.Item2)))
        {
            throw new UserErrorException(RoleSetting, "Nothing says how Redshift reads the bucket.", $"Give {RoleSetting}, or {CopyKeySetting} with {CopySecretSetting}.");
        }

        if (IamRole is null && (keys.Item1 + keys.Item2).Any(letter => letter is '\\' or '\'' || char.IsControl(letter)))
        {
            throw new UserErrorException(CopyKeySetting, "A key for COPY has a letter that no key has.", "Copy it again, without quotes.");
        }
    }

    private static string Name(string setting, string value) => RedshiftName.IsName(value) ? value : throw NotAName(setting, value);

    private static UserErrorException NotAName(string setting, string value) =>
        new(setting, $"\"{value}\" cannot be a name in Redshift.", $"Use 1 to {RedshiftName.Longest} bytes without control characters.");

    private static void NotEmpty(string setting, string value)
    {
        if (string.IsNullOrWhiteSpace(value))
        {
            throw new UserErrorException(setting, $"{setting} is empty.", "Give it a value.");
        }
    }

    [GeneratedRegex(@"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+(,arn:aws[a-z-]*:iam::\d{12}:role/[\w+=.@/-]+)*$", RegexOptions.CultureInvariant)]
    private static partial Regex Role();
}
