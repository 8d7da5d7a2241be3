using System.Text.RegularExpressions;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// Errors of Snowflake and of the way there, sorted by who has to act. Statuses are those of
/// https://docs.snowflake.com/en/developer-guide/sql-api/reference, tokens' those of
/// https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting; docs/destinations/snowflake.md has them as a table.
/// </summary>
internal static partial class SnowflakeErrors
{
    /// <summary>Whether there is no such table, or the role may not know of it, while its database and schema are there.</summary>
    public static bool IsMissingTable(SnowflakeException error) => error.Status == 422 && error.Code == "002003" && Missing().Match(error.Message) is { Success: true } match
        && match.Groups["kind"].Value is "Table" or "Object";

    public static ExportError? Sort(Exception error, SnowflakeOptions options) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        SnowflakeTakenException => new(ErrorKind.Transient, error.Message),
        SnowflakeException { Status: 0 } lost => Lost(lost, options),
        SnowflakeException refused => Sort(refused, options),
        _ => null,
    };

    private static ExportError Lost(SnowflakeException error, SnowflakeOptions options) => error.InnerException switch
    {
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } => User(
            SnowflakeOptions.HostSetting, $"No secure connection to {options.Url}: {error.Message}", "Give a host whose certificate this machine trusts."),
        HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } => new(
            ErrorKind.Transient, $"There is no host named {options.Url.Host}, or its name cannot be looked up now. Setting: {SnowflakeOptions.AccountSetting}."),
        _ => new(ErrorKind.Transient, $"{options.Url.Host} cannot be reached: {error.Message}"),
    };

    private static ExportError Sort(SnowflakeException error, SnowflakeOptions options) => error.Status switch
    {
        _ when error.Code == "390189" => NotThere("Role", error.Message, options),
        _ when error.Code == "390201" => NotThere("Warehouse", error.Message, options),
        401 => Token(error, options),
        403 => User(SnowflakeOptions.UserSetting, $"{options.Place} does not let {options.User} in: {error.Message}", "Look at its network policies, and at the user's grants."),
        404 => User(SnowflakeOptions.AccountSetting, $"There is no account at {options.Url.Host}.", "Correct the account's identifier, or the host."),
        408 => User(
            SnowflakeOptions.TimeoutSetting, $"A statement took longer than {options.Timeout} s and was cancelled: {error.Message}", "Use a larger warehouse, smaller slices or a longer timeout; `exporter run retry` goes on from the last committed slice."),
        429 => new(ErrorKind.Throttled, $"{options.Place} asks for fewer requests: {error.Message}", RetryAfter: error.RetryAfter),
        503 => new(error.RetryAfter is null ? ErrorKind.Transient : ErrorKind.Throttled, error.Message, RetryAfter: error.RetryAfter),
        >= 500 => new(ErrorKind.Transient, error.Message),
        422 => Failed(error, options),
        _ => new(ErrorKind.Bug, $"{options.Place} refused a request with status {error.Status}, code {error.Code}: {error.Message}"),
    };

    private static ExportError Token(SnowflakeException error, SnowflakeOptions options) => User(
        error.Code is "invalid_client" or "unauthorized_client" ? SnowflakeOptions.ClientSecretSetting : options.CredentialSetting,
        $"{options.Place} does not know {options.User} by this {(options.PrivateKey is not null ? "key" : "token")}: {error.Message}",
        error.Code switch
        {
            "390318" or "390303" when options.OauthToken is not null => "The token has expired or is no longer valid: give a new one.",
            "invalid_grant" => "The refresh token has ended or was revoked: let the user authorize the client again, and give the new one.",
            "invalid_client" or "unauthorized_client" => "Give the id and the secret of the client, as SYSTEM$SHOW_OAUTH_CLIENT_SECRETS shows them.",
            "394300" => "Give the user's LOGIN_NAME, as DESCRIBE USER shows it.",
            "394302" or "394303" => "Set this machine's clock.",
            "394307" => "Give the account whose URL is called.",
            _ when options.PrivateKey is not null => "Set the user's RSA_PUBLIC_KEY to the key's public half, give the user's LOGIN_NAME, and compare this machine's clock.",
            _ => "Give a token of this user that has not expired.",
        });

    // A statement said so. Of several the number is always 100132, so that the text has to do.
    private static ExportError Failed(SnowflakeException error, SnowflakeOptions options)
    {
        var cause = error.Cause.Replace("SQL compilation error:", "", StringComparison.Ordinal).Replace("SQL access control error:", "", StringComparison.Ordinal).ReplaceLineEndings(" ").Trim();
        if (Missing().Match(cause) is { Success: true } missing)
        {
            return NotThere(missing.Groups["kind"].Value, cause, options);
        }

        return cause switch
        {
            _ when Has("Insufficient privileges") || error.Code == "003001" => User(
                SnowflakeOptions.RoleSetting, $"The role may not do this: {cause}", "Grant it what docs/destinations/snowflake.md lists under permissions, or give another role."),
            _ when error.Code is "002043" || Has("Object does not exist, or operation cannot be performed") => NotThere("Schema", cause, options),
            _ when error.Code is "000606" || Has("No active warehouse") || Has("warehouse") && Has("suspended") => User(
                SnowflakeOptions.WarehouseSetting, $"The warehouse {options.WarehouseName} cannot be used: {cause}", "Create it, grant its usage to the role, or let it resume."),
            _ when error.Code is "090073" || Has("resource monitor") => User(
                SnowflakeOptions.WarehouseSetting, $"The warehouse {options.WarehouseName} has used its credits: {cause}", "Raise the quota of its resource monitor; `exporter run retry` goes on."),
            _ when Has("Failure using stage area") || Has("Access Denied") || Has("AccessDenied") || Has("InvalidAccessKeyId") || Has("SignatureDoesNotMatch") => User(
                ReadSetting(options), $"Snowflake may not read the bucket: {cause}", "Let it read the objects below the prefix and list them."),
            _ when Has("Integration") && Has("not allowed") => User(
                ReadSetting(options), $"The integration does not cover the bucket: {cause}", "Add the bucket and prefix to its STORAGE_ALLOWED_LOCATIONS."),
            _ when Has("timeout") && Has("canceled") || error.Code is "000604" or "000630" => new(ErrorKind.Transient, cause),
            _ when Has("deadlock") || Has("lock") && Has("abort") || error.Code is "000625" => new(ErrorKind.Transient, cause),
            _ when Has("Remote file") && Has("not found") => new(ErrorKind.Transient, $"A staged file is gone: another attempt has opened the slice. {cause}"),
            _ when Has(SnowflakeCommits.Stop) => new(ErrorKind.Transient, cause),
            _ when Has("does not exist") && Has("Table") => new(ErrorKind.Transient, $"The table has changed meanwhile: {cause}"),
            _ when Has("too long and would be truncated") || Has("is not recognized") || Has("out of representable range") || Has("Error parsing JSON") || Has("NULL result in a non-nullable column") => User(
                "columns", $"Snowflake cannot hold a value: {What(cause)}.", "Change the column's expression so that no row has such a value."),
            _ => new(ErrorKind.Bug, $"{options.Place} refused a statement with {error.Code}: {cause}"),
        };

        bool Has(string text) => cause.Contains(text, StringComparison.OrdinalIgnoreCase);
    }

    private static ExportError NotThere(string kind, string cause, SnowflakeOptions options) => kind switch
    {
        "Database" => User(SnowflakeOptions.DatabaseSetting, $"There is no database {options.DatabaseName}, or the role may not use it.", "Create it, grant its usage to the role, or correct its name: without double quotes it is read in capitals."),
        "Schema" => User(SnowflakeOptions.SchemaSetting, $"There is no schema {options.DatabaseName}.{options.SchemaName}, or the role may not use it.", "Create it, grant its usage to the role, or correct its name."),
        "Stage" => User(SnowflakeOptions.StageSetting, $"There is no stage {options.Stage}, or the role may not use it.", "Create it, grant its usage to the role, or correct its name."),
        "Integration" => User(SnowflakeOptions.IntegrationSetting, $"There is no storage integration {options.StorageIntegration}, or the role may not use it.", "Create it, grant its usage to the role, or correct its name."),
        "Warehouse" => User(SnowflakeOptions.WarehouseSetting, $"There is no warehouse {options.WarehouseName}, or the role may not use it.", "Create it, grant its usage to the role, or correct its name."),
        "Role" => User(SnowflakeOptions.RoleSetting, $"There is no role {options.RoleName}, or {options.User} does not have it.", "Grant it to the user, or correct its name."),
        _ => new(ErrorKind.Transient, $"The table has changed meanwhile: {cause}"),
    };

    // Known texts say what is wrong; the value stands between quotes, and is not shown.
    private static string What(string cause) => Value().Replace(cause, "'...'");

    private static string ReadSetting(SnowflakeOptions options) => options.Stage is not null ? SnowflakeOptions.StageSetting
        : options.StorageIntegration is not null ? SnowflakeOptions.IntegrationSetting
        : options.CopyAccessKey is not null ? SnowflakeOptions.CopyKeySetting
        : Staging.StageSettings.Prefix + S3.S3Options.AccessKeySetting;

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);

    [GeneratedRegex("(?<kind>Database|Schema|Table|Object|Stage|Integration|Warehouse|Role) '[^']*'(?: specified in the connect string)? does not exist or not authorized")]
    private static partial Regex Missing();

    [GeneratedRegex("'(?:[^']|'')*'")]
    private static partial Regex Value();
}
