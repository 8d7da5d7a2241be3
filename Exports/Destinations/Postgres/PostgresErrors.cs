using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>
/// Errors of PostgreSQL and of the way there, sorted by who has to act. The codes are those of "Appendix A. PostgreSQL Error
/// Codes"; docs/destinations/postgres.md has them as a table.
/// </summary>
internal static partial class PostgresErrors
{
    public static ExportError? Sort(Exception error, PostgresOptions options) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        SliceTakenException => new(ErrorKind.Transient, error.Message),
        PostgresException postgres => Sort(postgres, options),
        NpgsqlException { InnerException: PostgresException postgres } => Sort(postgres, options),
        NpgsqlException { InnerException: AuthenticationException or CryptographicException or FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException } =>
            NotTrusted(error.InnerException!, options),
        AuthenticationException or CryptographicException => NotTrusted(error, options),
        FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException when options.RootCertificate is not null => NotTrusted(error, options),
        NpgsqlException when error.Message.Contains("SSL", StringComparison.Ordinal) => User(
            PostgresOptions.SslModeSetting,
            $"{options.Place} offers no TLS.",
            "Switch it on at the server; or set ssl_mode to disable, if nobody can listen on the way there."),
        NpgsqlException { InnerException: TimeoutException } or TimeoutException or OperationCanceledException { InnerException: TimeoutException } =>
            new(ErrorKind.Transient, $"{options.Place} did not answer in time."),
        NpgsqlException when error.Message.StartsWith("No password has been provided", StringComparison.Ordinal) => User(
            PostgresOptions.PasswordSetting, $"{options.Place} asks for a password, and there is none.", "Give the user's password."),
        NpgsqlException { InnerException: SocketException { SocketErrorCode: SocketError.HostNotFound } } => new(
            ErrorKind.Transient, $"There is no host named {options.Host}, or its name cannot be looked up now. Setting: {PostgresOptions.HostSetting}."),
        NpgsqlException or IOException or SocketException => new(ErrorKind.Transient, $"{options.Place} cannot be reached: {error.Message}"),
        _ => null,
    };

    private static ExportError Sort(PostgresException error, PostgresOptions options) => error.SqlState switch
    {
        "28P01" => User(PostgresOptions.PasswordSetting, $"{options.Place} refuses the password of {options.Username}.", "Give the user's password."),
        "28000" => User(
            PostgresOptions.UsernameSetting,
            $"{options.Place} does not let {options.Username} in: {error.MessageText}.",
            "Create the user with LOGIN, allow it in pg_hba.conf, or use TLS if the server asks for it."),
        "3D000" or "57P04" => User(
            PostgresOptions.DatabaseSetting, $"There is no database {options.Database} at {options.Place}.", "Create it, or correct its name."),
        "3F000" => User(PostgresOptions.SchemaSetting, $"There is no schema {options.Schema}.", "Create it, or correct its name."),
        "42501" => User(
            PostgresOptions.UsernameSetting,
            $"{options.Username} may not do this in {options.Database}: {error.MessageText}.",
            "Grant it what docs/destinations/postgres.md lists under permissions, or give another user."),
        "25006" => User(
            PostgresOptions.HostSetting,
            $"{options.Place} is read-only for {options.Username}: {error.MessageText}.",
            "Give the primary server, and leave default_transaction_read_only off."),
        "42P01" or "42703" => new(ErrorKind.Transient, $"The table has changed meanwhile: {error.MessageText}."),
        "53100" => User(PostgresOptions.HostSetting, $"The disk of {options.Place} is full.", "Free some space; `exporter run retry` goes on from the last committed slice."),
        "53300" => new(ErrorKind.Throttled, $"{options.Place} has no connection left: {error.MessageText}.", RetryAfter: TimeSpan.FromSeconds(30)),
        "23502" or "23503" or "23505" or "23514" or "23P01" or "23001" => User(
            PostgresOptions.TableSetting, $"A row does not keep the rules of the table{Where(error)}: {error.MessageText}.", AdviceFor(error)),
        "P0001" => User(PostgresOptions.TableSetting, $"A trigger or a rule of the table refuses a row{Where(error)}: {error.MessageText}.", "Change it, or the export's columns."),
        "XX001" or "XX002" => User(PostgresOptions.HostSetting, $"The database is damaged: {error.MessageText}.", "Ask whoever runs the server."),
        "40003" or "57014" or "55P03" or "25P03" or "25P02" or "57P05" => new(ErrorKind.Transient, error.MessageText),
        { } code when Class(code) is "22" => User(
            "columns", $"PostgreSQL cannot hold a value{Where(error)}: {What(error)}.", "Change the column's expression so that no row has such a value."),
        { } code when Class(code) is "54" => User(PostgresOptions.TableSetting, $"A limit of PostgreSQL is passed{Where(error)}: {error.MessageText}.", "Export fewer columns, or smaller values."),
        { } code when Class(code) is "08" or "40" or "53" or "57" or "58" or "F0" or "XX" => new(ErrorKind.Transient, error.MessageText),
        _ => new(ErrorKind.Bug, $"{options.Place} refused a statement with {error.SqlState}: {error.MessageText}."),
    };

    private static string Class(string code) => code.Length == 5 ? code[..2] : "";

    private static string AdviceFor(PostgresException error) => error.SqlState switch
    {
        "23514" when error.MessageText.Contains("partition", StringComparison.Ordinal) => "Create the partition, or a default one.",
        "23505" => "Use mode merge with this key, or drop the unique index.",
        "23502" => "Give the column a value in the export's columns, or drop NOT NULL.",
        _ => "Change the table's constraint, or the export's columns.",
    };

    // Known texts say what is wrong without showing the value; others might show it.
    private static string What(PostgresException error) => error.SqlState switch
    {
        "22021" when error.MessageText.Contains("0x00", StringComparison.Ordinal) => "text with a zero byte",
        "22021" => "text that is no UTF-8",
        "22P05" => @"JSON with \u0000, or a letter that the database's encoding lacks",
        "22P02" or "22032" => "text that is no JSON, or no value of the column's type",
        "22003" => "a number out of range",
        "22001" => "text that is too long for its column",
        "22008" or "22007" => "a date or an instant out of range",
        _ => $"error {error.SqlState}",
    };

    // Which row and column, without the row itself.
    private static string Where(PostgresException error)
    {
        if (Place().Match(error.Where ?? "") is { Success: true } place)
        {
            return $" ({place.Value})";
        }

        return error.ColumnName is { Length: > 0 } column ? $" (column {column})" : "";
    }

    private static ExportError NotTrusted(Exception error, PostgresOptions options) => error is FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException
        ? User(PostgresOptions.RootCertificateSetting, $"The root certificate cannot be read: {error.Message}", "Put the file on every machine that a worker runs on.")
        : User(
            PostgresOptions.RootCertificateSetting,
            $"No secure connection to {options.Place}: {error.Message}",
            "Give the certificate of the authority that signed the server's, and a host name that stands in it.");

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);

    [GeneratedRegex(@"COPY \S+, line \d+(, column [^\s:]+)?")]
    private static partial Regex Place();
}
