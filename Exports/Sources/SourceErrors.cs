using System.Net.Sockets;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Sources;

/// <summary>ClickHouse's errors, sorted by who has to act.</summary>
internal static class SourceErrors
{
    /// <summary>Whether a code says that a query cannot be understood or computed: asked about a description, its setting is wrong.</summary>
    public static bool IsOfModel(int code) => SourceErrorTable.Of(code) is SourceErrorSort.Model or SourceErrorSort.Values;

    /// <summary>Whether an error says that a query takes more memory, time or rows than it may, so that a smaller one might not.</summary>
    public static bool IsTooMuch(Exception error) => error is SourceException { Code: var code } && SourceErrorTable.Of(code) == SourceErrorSort.TooMuch;

    /// <summary>Whether an error says that the host cannot be reached or is behind, so that another one is asked: nothing was answered.</summary>
    public static bool IsOfConnection(Exception error) => error is
        HttpRequestException or IOException or SocketException or SourceException { Code: <= 0 } or SourceException { Code: 198 or 209 or 210 or 279 or 369 };

    /// <summary>Sorts an error of the source; null when it is not one.</summary>
    public static ExportError? Classify(Exception error) => error switch
    {
        UserErrorException user => new ExportError(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        SourceException source => Classify(source),
        HttpRequestException or IOException or SocketException or TimeoutException =>
            new ExportError(ErrorKind.Transient, $"ClickHouse cannot be reached: {error.Message}"),
        _ => null,
    };

    private static ExportError Classify(SourceException error) => SourceErrorTable.Of(error.Code) switch
    {
        SourceErrorSort.Login => new ExportError(
            ErrorKind.User, "ClickHouse refuses the user or its password.", "clickhouse", "Correct Username and Password of the connection string."),
        SourceErrorSort.Grant => new ExportError(
            ErrorKind.User, $"The user may not read it: {error.Text}", "clickhouse", "Grant SELECT on the table to the user."),
        SourceErrorSort.Profile => new ExportError(
            ErrorKind.User, "The user's profile does not allow settings.", "clickhouse", "Give the user's profile readonly = 2 or 0, not 1."),
        SourceErrorSort.Limits => new ExportError(
            ErrorKind.User, $"ClickHouse refuses a setting of the query: {error.Text}", "clickhouse_settings", "Correct clickhouse_settings or the limit that it names."),
        SourceErrorSort.Model => new ExportError(
            ErrorKind.User, $"ClickHouse does not understand the query: {error.Text}", "model", "Compare the export's model with the table."),
        SourceErrorSort.Values => new ExportError(
            ErrorKind.User,
            $"An expression fails for some row: {error.Text}",
            "columns",
            "Change the expression (or the filter) so that it works for every row, such as by toInt64OrNull in place of toInt64."),
        SourceErrorSort.Busy => new ExportError(ErrorKind.Throttled, error.Message, RetryAfter: TimeSpan.FromSeconds(30)),
        SourceErrorSort.Bug => new ExportError(ErrorKind.Bug, error.Message),
        _ => new ExportError(ErrorKind.Transient, error.Message),
    };
}
