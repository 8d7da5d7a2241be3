using System.Globalization;
using System.Text.RegularExpressions;
using Google.Apis.Auth.OAuth2.Responses;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// Errors of BigQuery and of the way there, sorted by who has to act: by their reasons, as https://cloud.google.com/bigquery/docs/error-messages
/// lists them; docs/destinations/bigquery.md has them as a table.
/// </summary>
internal static partial class BigQueryErrors
{
    /// <summary>Our own reason: what was sent of an upload is lost.</summary>
    public const string UploadGone = "uploadGone";

    // https://cloud.google.com/bigquery/docs/troubleshoot-quotas: 10 minutes or longer.
    private static readonly TimeSpan QuotaWait = TimeSpan.FromMinutes(10);

    /// <summary>Whether the same request, or the same job under another name, may go well soon.</summary>
    public static bool IsPassing(BigQueryException error) => error.Status == 0
        ? error.InnerException is not (HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError })
        : error.Status is 429 or 500 or 502 or 503 or 504 || IsPassing(error.Reason) || (error.Job is not null && IsConflict(error.Message));

    private static bool IsPassing(string reason) => reason is "backendError" or "internalError" or "jobBackendError" or "jobInternalError" or "rateLimitExceeded" or "jobRateLimitExceeded" or "tableUnavailable";

    public static ExportError? Sort(Exception error, BigQueryOptions options) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        BigQueryTakenException => new(ErrorKind.Transient, error.Message),
        TokenResponseException refused => Token(refused, options),
        BigQueryException { Status: 0 } lost => Lost(lost, options),
        BigQueryException refused => Sort(refused, options),
        _ => null,
    };

    private static ExportError Lost(BigQueryException error, BigQueryOptions options) => error.InnerException switch
    {
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } => User(
            BigQueryOptions.EndpointSetting, $"No secure connection to {options.Url.Host}: {error.Message}", "Give an endpoint whose certificate this machine trusts."),
        HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } => new(
            ErrorKind.Transient, $"There is no host named {options.Url.Host}, or its name cannot be looked up now. Setting: {BigQueryOptions.EndpointSetting}."),
        _ => new(ErrorKind.Transient, $"{options.Url.Host} cannot be reached: {error.Message}"),
    };

    // https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes
    private static ExportError Token(TokenResponseException error, BigQueryOptions options)
    {
        var text = error.Error?.ErrorDescription ?? error.Error?.Error ?? error.Message;
        return User(
            BigQueryOptions.CredentialsSetting,
            $"Google does not give a token for these credentials: {text.ReplaceLineEndings(" ")}",
            text.Contains("short-lived", StringComparison.OrdinalIgnoreCase) || text.Contains("iat", StringComparison.Ordinal) ? "Set this machine's clock."
                : options.TokenUrl is not null ? "Give a key that is there and not disabled, or correct token_url."
                : "Give a key that is there and not disabled: the service account, or the key, may be deleted.");
    }

    private static ExportError Sort(BigQueryException error, BigQueryOptions options) => error.Reason switch
    {
        UploadGone => new(ErrorKind.Transient, error.Message),
        "rateLimitExceeded" or "jobRateLimitExceeded" => new(ErrorKind.Throttled, $"BigQuery asks for fewer requests: {error.Message}", RetryAfter: error.RetryAfter),
        "quotaExceeded" => new(ErrorKind.Throttled, $"A quota of {options.Project} is used up: {error.Message}", RetryAfter: error.RetryAfter ?? QuotaWait),
        "accessDenied" => Denied(error, options),
        "billingNotEnabled" or "billingTierLimitExceeded" => User(
            BigQueryOptions.ProjectSetting, $"The project {options.Project} has no billing that allows this: {error.Message}", "Enable billing for it: load jobs alone are free, statements that change rows are not."),
        "blocked" => User(BigQueryOptions.ProjectSetting, $"BigQuery has blocked this for {options.Project}: {error.Message}", "Ask Google's support what it was blocked for; `exporter run retry` goes on."),
        "notFound" => NotThere(error, options),
        "timeout" => Slow(error, options),
        "stopped" when error.Message.Contains("timeout", StringComparison.OrdinalIgnoreCase) || error.Message.Contains("timed out", StringComparison.OrdinalIgnoreCase) => Slow(error, options),
        "stopped" => new(ErrorKind.Transient, $"A job was cancelled: {error.Message}"),
        "resourcesExceeded" or "responseTooLarge" => User(
            "slice_size", $"A job needed more than BigQuery gives it: {Shown(error)}", "Use smaller slices: `exporter export edit --slice-size`."),
        "proxyAuthenticationRequired" => User(BigQueryOptions.EndpointSetting, $"A proxy on the way to {options.Url.Host} asks who we are.", "Let this machine through it."),
        "duplicate" or "resourceInUse" or "tableUnavailable" => new(ErrorKind.Transient, error.Message),
        "invalid" or "invalidQuery" or "badRequest" => Invalid(error, options),
        _ when IsPassing(error) => new(error.RetryAfter is null && error.Status != 429 ? ErrorKind.Transient : ErrorKind.Throttled, error.Message, RetryAfter: error.RetryAfter),
        _ => ByStatus(error, options),
    };

    private static ExportError ByStatus(BigQueryException error, BigQueryOptions options) => error.Status switch
    {
        401 => User(BigQueryOptions.CredentialsSetting, $"{options.Url.Host} does not know who we are: {error.Message}", "Give credentials of a service account that is there, and compare this machine's clock."),
        403 => Denied(error, options),
        404 => NotThere(error, options),
        407 => User(BigQueryOptions.EndpointSetting, $"A proxy on the way to {options.Url.Host} asks who we are.", "Let this machine through it."),
        412 => new(ErrorKind.Transient, $"The table has changed meanwhile: {error.Message}"),
        >= 500 => new(ErrorKind.Transient, error.Message),
        _ => new(ErrorKind.Bug, $"{options.Url.Host} refused a request with status {error.Status}, reason {error.Reason}: {error.Message}"),
    };

    // "Access Denied: Table p:d.t: Permission bigquery.tables.create denied on dataset p:d (or it may not exist)."
    private static ExportError Denied(BigQueryException error, BigQueryOptions options)
    {
        if (error.Message.Contains("has not been used in project", StringComparison.OrdinalIgnoreCase) || error.Message.Contains("is disabled", StringComparison.OrdinalIgnoreCase))
        {
            return User(BigQueryOptions.ProjectSetting, $"The BigQuery API is not enabled in {options.Project}.", "Enable it, or give another project.");
        }

        return Permission().Match(error.Message) is { Success: true } permission
            ? User(BigQueryOptions.CredentialsSetting, $"The credentials may not do this: {permission.Value} is missing on {(permission.Value.StartsWith("bigquery.jobs.", StringComparison.Ordinal) ? $"project {options.Project}" : $"dataset {options.Place}")}.", "Grant what docs/destinations/bigquery.md lists under permissions.")
            : User(BigQueryOptions.CredentialsSetting, $"The credentials may not do this: {error.Message}", "Grant what docs/destinations/bigquery.md lists under permissions.");
    }

    private static ExportError NotThere(BigQueryException error, BigQueryOptions options) => error.Message switch
    {
        var text when text.Contains("Not found: Dataset", StringComparison.OrdinalIgnoreCase) => options.Location is { } location
            ? User(BigQueryOptions.DatasetSetting, $"There is no dataset {options.Place} in {location}.", "Create it, or correct its name or location.")
            : User(BigQueryOptions.DatasetSetting, $"There is no dataset {options.Place}.", "Create it, or correct its name."),
        var text when text.Contains("Not found: Project", StringComparison.OrdinalIgnoreCase) || text.Contains("project", StringComparison.OrdinalIgnoreCase) && !text.Contains("Not found: ", StringComparison.OrdinalIgnoreCase) =>
            User(BigQueryOptions.ProjectSetting, $"There is no project {options.Project}.", "Correct its id."),
        var text when text.Contains("Not found: Table", StringComparison.OrdinalIgnoreCase) => new(ErrorKind.Transient, $"A table is gone meanwhile: {text}"),
        var text when text.Contains("Not found: Job", StringComparison.OrdinalIgnoreCase) => new(ErrorKind.Transient, text),
        _ => User(BigQueryOptions.EndpointSetting, $"{options.Url} has no BigQuery API: {error.Message}", "Correct the endpoint."),
    };

    private static ExportError Slow(BigQueryException error, BigQueryOptions options) => User(
        BigQueryOptions.TimeoutSetting,
        string.Create(CultureInfo.InvariantCulture, $"A job took longer than {options.Timeout} s and was stopped: {error.Message}"),
        "Give a longer timeout, smaller slices or more slots; `exporter run retry` goes on from the last committed slice.");

    // What a statement or a file was refused for stands in the text alone.
    private static ExportError Invalid(BigQueryException error, BigQueryOptions options)
    {
        var text = error.Message;
        return text switch
        {
            _ when IsConflict(text) => new(ErrorKind.Transient, text),
            _ when Has(BigQueryCommits.Stop) => new(ErrorKind.Transient, Stopped().Match(text) is { Success: true } match ? match.Groups["why"].Value : text),
            _ when Has("syntax error while parsing") || Has("Invalid input to PARSE_JSON") || Has("PARSE_JSON") || Has("is not valid JSON") => User(
                "columns", $"A text that should be JSON is none: {Shown(error)}", "Change the column's expression, or the table's column to STRING."),
            _ when Has("cannot be null") || Has("Required field") => User(
                "columns", $"A column that is REQUIRED got no value: {Shown(error)}", "Give the column's expression a value for every row, or make the table's column NULLABLE."),
            _ when Has("overflow") || Has("out of range") || Has("out of bounds") || Has("Invalid timestamp") || Has("invalid UTF-8") || Has("too large") || Has("exceeds the maximum") || Has("exceeds maximum") || Has("Error while reading data") => User(
                "columns", $"BigQuery cannot hold a value: {Shown(error)}", "Change the column's expression so that no row has such a value."),
            _ when Has("partition") && (Has("filter") || Has("partitions modified") || Has("Too many partitions")) => User(
                BigQueryOptions.PartitionUnitSetting, $"The table's partitions do not allow this: {Shown(error)}", "Use larger partitions, smaller intervals, or a table that needs no partition filter."),
            _ when Has("free tier") || Has("billing") => User(
                BigQueryOptions.ProjectSetting, $"The project {options.Project} has no billing that allows this: {Shown(error)}", "Enable billing for it: load jobs alone are free, statements that change rows are not."),
            _ when Has("Unrecognized name") || Has("is not present in") || Has("schema does not match") || Has("cannot be inserted into column") || Has("changed schema") => new(ErrorKind.Transient, $"The table has changed meanwhile: {text}"),
            _ when Has("Invalid project ID") => User(BigQueryOptions.ProjectSetting, $"There is no project {options.Project}.", "Correct its id."),
            _ when Has("location") && Has("dataset") => User(BigQueryOptions.LocationSetting, $"The dataset {options.Place} is elsewhere: {text}", "Leave location out, or give the dataset's."),
            _ => new(ErrorKind.Bug, $"BigQuery refused {(error.Job is null ? "a request" : $"job {error.Job}")} with {error.Reason}: {text}"),
        };

        bool Has(string words) => text.Contains(words, StringComparison.OrdinalIgnoreCase);
    }

    // https://cloud.google.com/bigquery/docs/transactions#transaction_concurrency and
    // https://cloud.google.com/bigquery/docs/data-manipulation-language#dml_statement_conflicts
    private static bool IsConflict(string text) => text.Contains("concurrent update", StringComparison.OrdinalIgnoreCase) || text.Contains("Could not serialize access", StringComparison.OrdinalIgnoreCase);

    // Known texts say what is wrong; a value stands between quotes, and is not shown.
    private static string Shown(BigQueryException error) => Value().Replace(error.Message.ReplaceLineEndings(" "), "'...'");

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);

    [GeneratedRegex(@"bigquery\.[a-zA-Z]+\.[a-zA-Z]+")]
    private static partial Regex Permission();

    [GeneratedRegex($"{BigQueryCommits.Stop}(?<why>.*?)(?: at \\[\\d+:\\d+\\]|$)")]
    private static partial Regex Stopped();

    [GeneratedRegex("""'(?:[^']|'')*'|"[^"]*"|`[^`]*`(?=:)""")]
    private static partial Regex Value();
}
