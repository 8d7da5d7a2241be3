using System.Text.RegularExpressions;
using Exporter.Exports.Destinations.Postgres;
using Npgsql;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>
/// Errors of Redshift and of the way there, sorted by who has to act. For most of what PostgreSQL has not, Redshift says XX000, so that the text has to do. Numbers of load errors
/// are those of https://docs.aws.amazon.com/redshift/latest/dg/r_Load_Error_Reference.html; docs/destinations/redshift.md has all as a table.
/// </summary>
internal static partial class RedshiftErrors
{
    /// <summary>Whether a COPY says that the load error views know more.</summary>
    public static bool IsLoadError(RedshiftException error) =>
        error.Text.Contains("stl_load_errors", StringComparison.OrdinalIgnoreCase) || error.Text.Contains("sys_load_error_detail", StringComparison.OrdinalIgnoreCase);

    public static ExportError? Sort(Exception error, RedshiftOptions options) => error switch
    {
        UserErrorException user when user.Setting.StartsWith(Staging.StageSettings.Prefix, StringComparison.Ordinal) => null,
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        RedshiftTakenException or RedshiftRowsException => new(ErrorKind.Transient, error.Message),
        RedshiftException { LoadError: { } load } => Sort(load),
        RedshiftException refused => Sort(refused, options),
        NpgsqlException => Lost(error, options),
        _ => null,
    };

    /// <summary>Errors of the connection, which are PostgreSQL's.</summary>
    public static ExportError? Lost(Exception error, RedshiftOptions options) => PostgresErrors.Sort(error, options.Server);

    private static ExportError Sort(RedshiftLoadError error) => User(
        "columns",
        $"Redshift cannot load a value{(error.Column.Length > 0 ? $" of column {error.Column} ({error.Type})" : "")}: {WithoutValues(error.Reason).TrimEnd('.')}.",
        error.Code switch
        {
            1204 => "Shorten the value in the column's expression, or see to it with bad_rows.",
            1213 => "Give the column a value in the export's columns, or drop NOT NULL.",
            _ => "Change the column's expression so that no row has such a value.",
        });

    private static ExportError Sort(RedshiftException error, RedshiftOptions options) => error.SqlState switch
    {
        "28P01" or "28000" or "3D000" or "57P04" or "3F000" or "53300" => Known(error, options),
        "42501" => User(
            RedshiftOptions.UsernameSetting,
            $"{options.Username} may not do this in {options.Database}: {error.Text}.",
            "Grant it what docs/destinations/redshift.md lists under permissions, or give another user."),
        "42P01" or "42703" => new(ErrorKind.Transient, $"The table has changed meanwhile: {error.Text}."),
        "57014" => new(ErrorKind.Transient, error.Text),
        "22001" => User("columns", $"Redshift cannot hold a value: {WithoutValues(error.Text)}.", "Shorten the value in the column's expression, or see to it with bad_rows."),
        { } code when Class(code) is "22" => User("columns", $"Redshift cannot hold a value: {WithoutValues(error.Text)}.", "Change the column's expression so that no row has such a value."),
        "23502" => User(RedshiftOptions.TableSetting, $"A row does not keep the rules of the table: {error.Text}.", "Give the column a value in the export's columns, or drop NOT NULL."),
        { } code when Class(code) is "54" => User(RedshiftOptions.TableSetting, $"A limit of Redshift is passed: {error.Text}.", "Export fewer columns, or smaller values."),
        { } code when Class(code) is "08" or "40" or "53" or "57" or "58" => new(ErrorKind.Transient, error.Text),
        "XX000" => Internal(error, options),
        _ => new(ErrorKind.Bug, $"{options.Place} refused a statement with {error.SqlState}: {error.Text}."),
    };

    private static ExportError Internal(RedshiftException error, RedshiftOptions options)
    {
        var all = error.Message;
        return all switch
        {
            // https://repost.aws/knowledge-center/redshift-serializable-isolation
            _ when error.Text is "1023" || Has("Serializable isolation violation") => new(ErrorKind.Transient, $"A transaction of somebody else stood in the way (1023): {error.Detail}"),
            _ when error.Text is "1018" || Has("Relation does not exist") => new(ErrorKind.Transient, $"The table has changed meanwhile (1018): {error.Detail}"),
            _ when Has("deadlock") || Has("concurrent transaction") => new(ErrorKind.Transient, error.Text),
            _ when Has("assume IAM Role") || Has("Not authorized to get credentials of role") || Has("is not associated to cluster") => User(
                RedshiftOptions.RoleSetting, $"Redshift may not use the role {options.IamRole}: {Short(all)}", "Associate the role with the cluster or namespace, and let redshift.amazonaws.com and redshift-serverless.amazonaws.com assume it."),
            _ when Has("NoSuchKey") || Has("does not exist") && Has("S3") && !Has("NoSuchBucket") => new(ErrorKind.Transient, $"A staged file is gone: another attempt has opened the slice. {Short(all)}"),
            _ when Has("NoSuchBucket") => User(Bucket, $"Redshift finds no bucket: {Short(all)}", "Create it in Redshift's region, or correct its name."),
            _ when Has("PermanentRedirect") || Has("must be addressed using the specified endpoint") || Has("AuthorizationHeaderMalformed") => User(
                Bucket, $"The bucket is in another region than Redshift, and COPY of Parquet cannot reach it: {Short(all)}", "Use a bucket in Redshift's region."),
            _ when Has("AccessDenied") || Has("Access Denied") || Has("InvalidAccessKeyId") || Has("SignatureDoesNotMatch") || Has("ExpiredToken") || Has("Status 403") => User(
                options.ReadSetting, $"Redshift may not read the bucket: {Short(all)}", "Let it list the bucket and get the objects below the prefix."),
            _ when Has("SlowDown") || Has("ServiceUnavailable") || Has("Status 503") || Has("Status 500") || Has("InternalError") => new(ErrorKind.Transient, Short(all)),
            _ when Has("incompatible Parquet schema") => User(
                RedshiftOptions.TableSetting, $"A column of the table is of another type than the export's: {Short(Column(all))}", "Change the column's type, or name another table."),
            _ when Has("Disk Full") => User(RedshiftOptions.HostSetting, $"The disk of {options.Place} is full.", "Free some space or add nodes; `exporter run retry` goes on from the last committed slice."),
            _ when Has("usage limit") => User(RedshiftOptions.HostSetting, $"{options.Place} has reached a usage limit: {Short(all)}", "Raise the limit, or wait until it begins anew; `exporter run retry` goes on."),
            _ when Has("WLM") || Has("Query Monitoring") || Has("Query aborted") => new(ErrorKind.Transient, Short(all)),
            _ when Has("Value too long") || Has("Numeric data overflow") || Has("Overflow") || Has("Invalid digit") || Has("JSON") && Has("pars") => User(
                "columns", $"Redshift cannot hold a value: {WithoutValues(Short(all))}", "Change the column's expression so that no row has such a value."),
            _ => new(ErrorKind.Transient, Short(all)),
        };

        bool Has(string text) => all.Contains(text, StringComparison.OrdinalIgnoreCase);
    }

    private static string Bucket => Staging.StageSettings.Prefix + S3.S3Options.BucketSetting;

    // The same words as PostgreSQL's.
    private static ExportError Known(RedshiftException error, RedshiftOptions options) =>
        PostgresErrors.Sort(new PostgresException(error.Text, "ERROR", "ERROR", error.SqlState), options.Server)!;

    private static string Class(string code) => code.Length == 5 ? code[..2] : "";

    // Which column it is, out of "has an incompatible Parquet schema for column 's3://...name'. Column type: BIGINT, Parquet schema: ...".
    private static string Column(string text) => Incompatible().Match(text) is { Success: true } match ? match.Value : text;

    private static string Short(string text) => text.Length > 400 ? text[..400] + " ..." : text;

    private static string WithoutValues(string text) => Value().Replace(text, "'...'");

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);

    [GeneratedRegex("'(?:[^']|'')*'")]
    private static partial Regex Value();

    [GeneratedRegex(@"has an incompatible Parquet schema for column .*?(?=\s*query:|\s*location:|$)")]
    private static partial Regex Incompatible();
}
