using System.Net.Sockets;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Sources;

/// <summary>ClickHouse's errors, sorted by who has to act.</summary>
internal static class SourceErrors
{
    /// <summary>Whether the code says that a query does not fit the tables: unknown names, wrong types, bad syntax.</summary>
    public static bool OfQuery(int code) => code is
        16 or 36 or 42 or 43 or 44 or 46 or 47 or 53 or 59 or 60 or 62 or 63 or 81 or 115 or 179 or 181 or 184 or 207 or 215 or 386;

    /// <summary>Whether the code says that an expression cannot be computed for some row: it fails again however often it is tried.</summary>
    private static bool OfValues(int code) => code is
        6 or 26 or 27 or 38 or 41 or 50 or 69 or 70 or 72 or 131 or 153 or 349 or 376 or 395 or 407 or 441 or 467 or 675;

    /// <summary>Sorts an error of the source; null when it is not one.</summary>
    public static ExportError? Classify(Exception error) => error switch
    {
        UserErrorException user => new ExportError(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        SourceException source => Classify(source),
        HttpRequestException or IOException or SocketException or TimeoutException =>
            new ExportError(ErrorKind.Transient, $"ClickHouse cannot be reached: {error.Message}"),
        _ => null,
    };

    private static ExportError Classify(SourceException error) => error.Code switch
    {
        192 or 193 or 194 or 516 => new ExportError(
            ErrorKind.User, "ClickHouse refuses the user or its password.", "clickhouse", "Correct Username and Password of the connection string."),
        497 => new ExportError(ErrorKind.User, $"The user may not read it: {error.Text}", "clickhouse", "Grant SELECT on the table to the user."),
        164 => new ExportError(
            ErrorKind.User, "The user's profile does not allow settings.", "clickhouse", "Give the user's profile readonly = 2 or 0, not 1."),
        // Too many simultaneous queries, quota exceeded.
        202 or 201 => new ExportError(ErrorKind.Throttled, error.Message, RetryAfter: TimeSpan.FromSeconds(30)),
        // A query of a dead attempt may still be running under its id; memory, timeouts, network, restarts, replicas: it gets better.
        _ when OfQuery(error.Code) => new ExportError(
            ErrorKind.User, $"ClickHouse does not understand the query: {error.Text}", "model", "Compare the export's model with the table."),
        _ when OfValues(error.Code) => new ExportError(
            ErrorKind.User,
            $"An expression fails for some row: {error.Text}",
            "columns",
            "Change the expression (or the filter) so that it works for every row, such as by toInt64OrNull in place of toInt64."),
        _ => new ExportError(ErrorKind.Transient, error.Message),
    };
}
