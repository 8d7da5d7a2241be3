using System.Globalization;
using System.Text.Json.Serialization;
using Exporter.Exports.Destinations.Staging;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>A table in Snowflake, who writes it, and the bucket that its rows are staged in.</summary>
internal sealed record SnowflakeOptions
{
    public const string AccountSetting = "account";
    public const string UserSetting = "user";
    public const string PrivateKeySetting = "private_key";
    public const string PassphraseSetting = "private_key_passphrase";
    public const string AccessTokenSetting = "access_token";
    public const string OauthTokenSetting = "oauth_token";
    public const string RefreshTokenSetting = "oauth_refresh_token";
    public const string ClientIdSetting = "oauth_client_id";
    public const string ClientSecretSetting = "oauth_client_secret";
    public const string TokenUrlSetting = "oauth_token_url";
    public const string HostSetting = "host";
    public const string RoleSetting = "role";
    public const string WarehouseSetting = "warehouse";
    public const string DatabaseSetting = "database";
    public const string SchemaSetting = "schema";
    public const string TableSetting = "table";
    public const string ColumnNamesSetting = "column_names";
    public const string ModeSetting = "mode";
    public const string KeySetting = "key";
    public const string VersionSetting = "version";
    public const string DeleteSetting = "delete_column";
    public const string ProvenanceSetting = "provenance_column";
    public const string TimeoutSetting = "timeout";
    public const string StageSetting = "stage";
    public const string IntegrationSetting = "storage_integration";
    public const string CopyKeySetting = "copy_access_key";
    public const string CopySecretSetting = "copy_secret_key";

    /// <summary>The column that says which commit brought a row.</summary>
    public const string DefaultProvenance = "_exporter_commit";

    private const string ExportPlace = "{export}";

    public static DestinationKind Kind { get; } = new()
    {
        Name = "snowflake",
        Description = "Rows in a table in Snowflake, staged as Parquet files in a bucket.",
        Settings =
        [
            new(AccountSetting, SettingType.Text, "The account's identifier, such as MYORG-MYACCOUNT.") { Required = true, Place = true },
            new(UserSetting, SettingType.Text, "The user's login name.") { Required = true },
            new(PrivateKeySetting, SettingType.Text, "The user's RSA private key in PEM. Give it, access_token, oauth_refresh_token or oauth_token.") { Secret = true, Asked = true },
            new(PassphraseSetting, SettingType.Text, "What the private key is encrypted with. Default nothing.") { Secret = true },
            new(AccessTokenSetting, SettingType.Text, "A programmatic access token of the user.") { Secret = true },
            new(OauthTokenSetting, SettingType.Text, "An OAuth access token of the user; it is not renewed.") { Secret = true },
            new(RefreshTokenSetting, SettingType.Text, "An OAuth refresh token of the user, by which access tokens are renewed; it must be one that can be used again.") { Secret = true },
            new(ClientIdSetting, SettingType.Text, "With oauth_refresh_token: the client's id."),
            new(ClientSecretSetting, SettingType.Text, "With oauth_refresh_token: the client's secret.") { Secret = true },
            new(TokenUrlSetting, SettingType.Text, "With oauth_refresh_token: where access tokens are asked for. Default Snowflake's own, /oauth/token-request of the account."),
            new(WarehouseSetting, SettingType.Text, "The warehouse that loads and merges.") { Required = true },
            new(DatabaseSetting, SettingType.Text, "The database; it must be there. Names are read as in SQL: in capitals, unless they stand in double quotes.") { Required = true, Place = true },
            new(SchemaSetting, SettingType.Text, "The schema of the table, and of the exporter's own tables; it must be there. Default PUBLIC.") { Place = true },
            new(RoleSetting, SettingType.Text, "The role. Default the user's own."),
            new(TableSetting, SettingType.Text, "The table, made if it is missing; {export} stands for the export's name. Default {export}.") { Place = true },
            new(ColumnNamesSetting, SettingType.Text, "upper: columns are named in capitals, so that SQL finds them without quotes; keep: as the export names them. Default upper.") { Place = true },
            new(ModeSetting, SettingType.Text, "append: rows are added; merge: rows of one key become one. Default append.") { Place = true },
            new(KeySetting, SettingType.Text, "For merge: the export's columns that identify a row, separated by commas."),
            new(VersionSetting, SettingType.Text, "For merge: of rows with one key, the highest of this column stays. Default the row that came last."),
            new(DeleteSetting, SettingType.Text, "For merge: a row in which this column is true or not 0 is deleted. Default none."),
            new(ProvenanceSetting, SettingType.Text, "For append: a text column that says which commit brought a row, needed to export an interval again; empty for none. Default _exporter_commit.") { Place = true },
            new(StageSetting, SettingType.Text, "An external stage whose URL the bucket and prefix lie below, with database and schema or without; Snowflake reads through it. Default none."),
            new(IntegrationSetting, SettingType.Text, "A storage integration with which Snowflake reads the bucket. Default none."),
            new(CopyKeySetting, SettingType.Text, "Without stage and integration: the access key with which Snowflake reads the bucket. Default stage_access_key.") { Secret = true },
            new(CopySecretSetting, SettingType.Text, "Its secret. Default stage_secret_key.") { Secret = true },
            .. StageSettings.All(isRequired: true),
            new(HostSetting, SettingType.Text, "The URL of the account. Default https://ACCOUNT.snowflakecomputing.com."),
            new(TimeoutSetting, SettingType.Number, "Seconds that a statement may take. Default 3600; from 1 to 86400."),
        ],
        Open = (destination, format) =>
        {
            var options = DestinationOptions.Read<SnowflakeOptions>(destination).Validate();
            return new SnowflakeDestination(options, StageSettings.Read(destination), format);
        },
    };

    public required string Account { get; init; }

    public required string User { get; init; }

    public string? PrivateKey { get; init; }

    public string? PrivateKeyPassphrase { get; init; }

    public string? AccessToken { get; init; }

    public string? OauthToken { get; init; }

    public string? OauthRefreshToken { get; init; }

    public string? OauthClientId { get; init; }

    public string? OauthClientSecret { get; init; }

    public string? OauthTokenUrl { get; init; }

    public string? Host { get; init; }

    public string? Role { get; init; }

    public required string Warehouse { get; init; }

    public required string Database { get; init; }

    public string Schema { get; init; } = "PUBLIC";

    public string Table { get; init; } = ExportPlace;

    public string ColumnNames { get; init; } = "upper";

    public string Mode { get; init; } = "append";

    public string Key { get; init; } = "";

    public string? Version { get; init; }

    public string? DeleteColumn { get; init; }

    public string ProvenanceColumn { get; init; } = DefaultProvenance;

    public string? Stage { get; init; }

    public string? StorageIntegration { get; init; }

    public string? CopyAccessKey { get; init; }

    public string? CopySecretKey { get; init; }

    public string? StageAccessKey { get; init; }

    public string? StageSecretKey { get; init; }

    public int Timeout { get; init; } = 3_600;

    [JsonIgnore]
    public bool IsMerge => Mode == "merge";

    /// <summary>The columns of the key as the table has them, in the order that was given.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> KeyColumns { get; private init; } = [];

    /// <summary>The version's column as the table has it; null when there is none.</summary>
    [JsonIgnore]
    public string? VersionName => Version is null ? null : Column(Version);

    /// <summary>The flag's column as the table has it; null when there is none.</summary>
    [JsonIgnore]
    public string? DeleteName => DeleteColumn is null ? null : Column(DeleteColumn);

    /// <summary>The column that says which commit brought a row; null when there is none.</summary>
    [JsonIgnore]
    public string? Provenance => IsMerge || ProvenanceColumn.Length == 0 ? null : Column(ProvenanceColumn);

    [JsonIgnore]
    public string WarehouseName => SnowflakeName.Of(Warehouse);

    [JsonIgnore]
    public string? RoleName => Role is null ? null : SnowflakeName.Of(Role);

    [JsonIgnore]
    public string DatabaseName => SnowflakeName.Of(Database);

    [JsonIgnore]
    public string SchemaName => SnowflakeName.Of(Schema);

    /// <summary>The account's URL. Host names have no underscores.</summary>
    [JsonIgnore]
    public Uri Url => new(Host ?? $"https://{Account.Replace('_', '-').ToLowerInvariant()}.snowflakecomputing.com");

    /// <summary>Where access tokens are asked for.</summary>
    [JsonIgnore]
    public Uri TokenUrl => OauthTokenUrl is null ? new(Url, "oauth/token-request") : new(OauthTokenUrl);

    /// <summary>The account, for messages.</summary>
    [JsonIgnore]
    public string Place => $"Snowflake's account {Account}";

    /// <summary>The setting that says who asks.</summary>
    [JsonIgnore]
    public string CredentialSetting => PrivateKey is not null ? PrivateKeySetting : AccessToken is not null ? AccessTokenSetting : OauthRefreshToken is not null ? RefreshTokenSetting : OauthTokenSetting;

    /// <summary>What must never be shown.</summary>
    [JsonIgnore]
    public IEnumerable<string> Secrets => new[] { PrivateKey, PrivateKeyPassphrase, AccessToken, OauthToken, OauthRefreshToken, OauthClientSecret, CopyAccessKey, CopySecretKey, StageAccessKey, StageSecretKey }
        .OfType<string>().Where(secret => secret.Length > 0);

    /// <summary>A column as the table has it.</summary>
    public string Column(string name) => ColumnNames == "keep" ? name : name.ToUpperInvariant();

    /// <summary>The table of an export.</summary>
    /// <exception cref="UserErrorException">Its name would be too long.</exception>
    public string TableOf(string export) => Name(TableSetting, SnowflakeName.Of(Table.Replace(ExportPlace, export, StringComparison.Ordinal)));

    /// <summary>A name in the schema, as it stands in SQL.</summary>
    public string InSchema(string name) => SnowflakeName.Quoted(DatabaseName, SchemaName, name);

    public SnowflakeOptions Validate()
    {
        NotEmpty(AccountSetting, Account);
        if (Account.Contains('/', StringComparison.Ordinal) || Account.Contains("snowflakecomputing", StringComparison.OrdinalIgnoreCase))
        {
            throw new UserErrorException(AccountSetting, $"\"{Account}\" is an address.", "Give the identifier alone, such as MYORG-MYACCOUNT.");
        }

        NotEmpty(UserSetting, User);
        if (Host is not null && !(Uri.TryCreate(Host, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
        {
            throw new UserErrorException(HostSetting, $"\"{Host}\" is no URL.", "Begin it with https://.");
        }

        foreach (var (setting, name) in new[] { (WarehouseSetting, Warehouse), (DatabaseSetting, Database), (SchemaSetting, Schema), (TableSetting, Table) })
        {
            Name(setting, name);
        }

        if (ColumnNames is not ("upper" or "keep"))
        {
            throw new UserErrorException(ColumnNamesSetting, $"\"{ColumnNames}\" is no way to name columns.", "Use upper or keep.");
        }

        ModelCheck.Range(TimeoutSetting, Timeout, 1, 86_400);
        CheckCredentials();
        CheckStage();
        return ValidateMode();
    }

    private void CheckCredentials()
    {
        var given = new[] { (PrivateKeySetting, PrivateKey), (AccessTokenSetting, AccessToken), (OauthTokenSetting, OauthToken), (RefreshTokenSetting, OauthRefreshToken) }.Where(pair => !string.IsNullOrWhiteSpace(pair.Item2)).ToList();
        if (given.Count == 0)
        {
            throw new UserErrorException(PrivateKeySetting, "Nothing says to Snowflake who asks.", $"Give {PrivateKeySetting}, {AccessTokenSetting}, {RefreshTokenSetting} or {OauthTokenSetting}.");
        }

        if (given.Count > 1)
        {
            throw new UserErrorException(given[1].Item1, $"{given[0].Item1} and {given[1].Item1} are both given.", "Give one of them.");
        }

        foreach (var (setting, value) in new[] { (ClientIdSetting, OauthClientId), (ClientSecretSetting, OauthClientSecret) })
        {
            if (string.IsNullOrWhiteSpace(value) == OauthRefreshToken is not null)
            {
                throw new UserErrorException(
                    setting, OauthRefreshToken is null ? $"{setting} is only for {RefreshTokenSetting}." : $"{setting} is missing.", $"Give {RefreshTokenSetting}, {ClientIdSetting} and {ClientSecretSetting}, or none of them.");
            }
        }

        if (OauthTokenUrl is not null && !(Uri.TryCreate(OauthTokenUrl, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
        {
            throw new UserErrorException(TokenUrlSetting, $"\"{OauthTokenUrl}\" is no URL.", "Begin it with https://.");
        }

        if (PrivateKeyPassphrase is not null && PrivateKey is null)
        {
            throw new UserErrorException(PassphraseSetting, "There is a passphrase and no private key.", "Give private_key, or leave it out.");
        }
    }

    private void CheckStage()
    {
        if (Stage is not null && StorageIntegration is not null)
        {
            throw new UserErrorException(StageSetting, "stage and storage_integration are both given.", "Give one of them; a stage has its own integration.");
        }

        if (Stage is not null && SnowflakeName.Path(Stage.TrimStart('@')) is { Count: > 3 } or { Count: 0 })
        {
            throw new UserErrorException(StageSetting, $"\"{Stage}\" is no name of a stage.", "Give DATABASE.SCHEMA.STAGE, SCHEMA.STAGE or STAGE.");
        }

        var keys = (CopyAccessKey ?? StageAccessKey, CopySecretKey ?? StageSecretKey);
        if (Stage is null && StorageIntegration is null && (string.IsNullOrEmpty(keys.Item1) || string.IsNullOrEmpty(keys.Item2)))
        {
            throw new UserErrorException(
                IntegrationSetting, "Nothing says how Snowflake reads the bucket.", $"Give {StageSetting}, {IntegrationSetting}, or {CopyKeySetting} with {CopySecretSetting}.");
        }
    }

    private SnowflakeOptions ValidateMode()
    {
        var key = MergeMode.Check(Mode, Key, Version, DeleteColumn);
        if (!IsMerge)
        {
            return this;
        }

        var columns = key.Select(Column).ToList();
        MergeMode.CheckKey(columns, StringComparer.Ordinal);
        return this with
        {
            KeyColumns = columns,
            Version = string.IsNullOrEmpty(Version) ? null : Version,
            DeleteColumn = string.IsNullOrEmpty(DeleteColumn) ? null : DeleteColumn,
        };
    }

    private static string Name(string setting, string value)
    {
        NotEmpty(setting, value);
        return value.Length > SnowflakeName.Longest || value.Any(char.IsControl)
            ? throw new UserErrorException(
                setting, $"\"{value}\" cannot be a name in Snowflake.", string.Create(CultureInfo.InvariantCulture, $"Use {SnowflakeName.Longest} characters at most."))
            : value;
    }

    private static void NotEmpty(string setting, string value)
    {
        if (string.IsNullOrWhiteSpace(value))
        {
            throw new UserErrorException(setting, $"{setting} is empty.", "Give it a value.");
        }
    }
}
