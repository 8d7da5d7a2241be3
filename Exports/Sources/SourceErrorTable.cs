namespace Exporter.Exports.Sources;

/// <summary>
/// ClickHouse's error codes by what follows from them. A code that is not here is transient: it is tried again, spaced out, since
/// stopping for something that passes would be worse than trying something that does not.
/// </summary>
internal static class SourceErrorTable
{
    private static readonly Dictionary<int, SourceErrorClass> Codes = new()
    {
        // The user, or what it may do.
        [192] = new("UNKNOWN_USER", SourceErrorSort.Login),
        [193] = new("WRONG_PASSWORD", SourceErrorSort.Login),
        [194] = new("REQUIRED_PASSWORD", SourceErrorSort.Login),
        [195] = new("IP_ADDRESS_NOT_ALLOWED", SourceErrorSort.Login),
        [516] = new("AUTHENTICATION_FAILED", SourceErrorSort.Login),
        [497] = new("ACCESS_DENIED", SourceErrorSort.Grant),
        [291] = new("DATABASE_ACCESS_DENIED", SourceErrorSort.Grant),
        [164] = new("READONLY", SourceErrorSort.Profile),
        [452] = new("SETTING_CONSTRAINT_VIOLATION", SourceErrorSort.Limits),
        [115] = new("UNKNOWN_SETTING", SourceErrorSort.Limits),

        // The query does not fit the tables.
        [16] = new("NO_SUCH_COLUMN_IN_TABLE", SourceErrorSort.Model),
        [36] = new("BAD_ARGUMENTS", SourceErrorSort.Model),
        [42] = new("NUMBER_OF_ARGUMENTS_DOESNT_MATCH", SourceErrorSort.Model),
        [43] = new("ILLEGAL_TYPE_OF_ARGUMENT", SourceErrorSort.Model),
        [44] = new("ILLEGAL_COLUMN", SourceErrorSort.Model),
        [46] = new("UNKNOWN_FUNCTION", SourceErrorSort.Model),
        [47] = new("UNKNOWN_IDENTIFIER", SourceErrorSort.Model),
        [48] = new("NOT_IMPLEMENTED", SourceErrorSort.Model),
        [53] = new("TYPE_MISMATCH", SourceErrorSort.Model),
        [59] = new("ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER", SourceErrorSort.Model),
        [60] = new("UNKNOWN_TABLE", SourceErrorSort.Model),
        [62] = new("SYNTAX_ERROR", SourceErrorSort.Model),
        [63] = new("UNKNOWN_AGGREGATE_FUNCTION", SourceErrorSort.Model),
        [81] = new("UNKNOWN_DATABASE", SourceErrorSort.Model),
        [179] = new("MULTIPLE_EXPRESSIONS_FOR_ALIAS", SourceErrorSort.Model),
        [181] = new("ILLEGAL_FINAL", SourceErrorSort.Model),
        [184] = new("ILLEGAL_AGGREGATION", SourceErrorSort.Model),
        [207] = new("AMBIGUOUS_IDENTIFIER", SourceErrorSort.Model),
        [215] = new("NOT_AN_AGGREGATE", SourceErrorSort.Model),
        [344] = new("SUPPORT_IS_DISABLED", SourceErrorSort.Model),
        [386] = new("NO_COMMON_TYPE", SourceErrorSort.Model),
        [427] = new("CANNOT_COMPILE_REGEXP", SourceErrorSort.Model),
        [456] = new("UNKNOWN_QUERY_PARAMETER", SourceErrorSort.Model),
        [457] = new("BAD_QUERY_PARAMETER", SourceErrorSort.Model),

        // An expression cannot be computed for some row: it fails again however often it is tried.
        [6] = new("CANNOT_PARSE_TEXT", SourceErrorSort.Values),
        [26] = new("CANNOT_PARSE_QUOTED_STRING", SourceErrorSort.Values),
        [27] = new("CANNOT_PARSE_INPUT_ASSERTION_FAILED", SourceErrorSort.Values),
        [38] = new("CANNOT_PARSE_DATE", SourceErrorSort.Values),
        [41] = new("CANNOT_PARSE_DATETIME", SourceErrorSort.Values),
        [50] = new("UNKNOWN_TYPE", SourceErrorSort.Values),
        [69] = new("ARGUMENT_OUT_OF_BOUND", SourceErrorSort.Values),
        [70] = new("CANNOT_CONVERT_TYPE", SourceErrorSort.Values),
        [72] = new("CANNOT_PARSE_NUMBER", SourceErrorSort.Values),
        [131] = new("TOO_LARGE_STRING_SIZE", SourceErrorSort.Values),
        [153] = new("ILLEGAL_DIVISION", SourceErrorSort.Values),
        [349] = new("CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", SourceErrorSort.Values),
        [376] = new("CANNOT_PARSE_UUID", SourceErrorSort.Values),
        [395] = new("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", SourceErrorSort.Values),
        [407] = new("DECIMAL_OVERFLOW", SourceErrorSort.Values),
        [441] = new("CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING", SourceErrorSort.Values),
        [467] = new("CANNOT_PARSE_BOOL", SourceErrorSort.Values),
        [675] = new("CANNOT_PARSE_IPV4", SourceErrorSort.Values),
        [676] = new("CANNOT_PARSE_IPV6", SourceErrorSort.Values),

        // The server has enough to do, or its administrator says so.
        [201] = new("QUOTA_EXCEEDED", SourceErrorSort.Busy),
        [202] = new("TOO_MANY_SIMULTANEOUS_QUERIES", SourceErrorSort.Busy),
        [439] = new("CANNOT_SCHEDULE_TASK", SourceErrorSort.Busy),
        [745] = new("SERVER_OVERLOADED", SourceErrorSort.Busy),

        // More than one query may take: a smaller slice may do.
        [158] = new("TOO_MANY_ROWS", SourceErrorSort.TooMuch),
        [159] = new("TIMEOUT_EXCEEDED", SourceErrorSort.TooMuch),
        [160] = new("TOO_SLOW", SourceErrorSort.TooMuch),
        [241] = new("MEMORY_LIMIT_EXCEEDED", SourceErrorSort.TooMuch),
        [307] = new("TOO_MANY_BYTES", SourceErrorSort.TooMuch),
        [396] = new("TOO_MANY_ROWS_OR_BYTES", SourceErrorSort.TooMuch),

        // It passes: networks, replicas, restarts, merges, a dead attempt's query that still runs under the same id.
        [3] = new("UNEXPECTED_END_OF_FILE", SourceErrorSort.Passing),
        [32] = new("ATTEMPT_TO_READ_AFTER_EOF", SourceErrorSort.Passing),
        [40] = new("CHECKSUM_DOESNT_MATCH", SourceErrorSort.Passing),
        [198] = new("DNS_ERROR", SourceErrorSort.Passing),
        [209] = new("SOCKET_TIMEOUT", SourceErrorSort.Passing),
        [210] = new("NETWORK_ERROR", SourceErrorSort.Passing),
        [216] = new("QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", SourceErrorSort.Passing),
        [225] = new("NO_ZOOKEEPER", SourceErrorSort.Passing),
        [236] = new("ABORTED", SourceErrorSort.Passing),
        [242] = new("TABLE_IS_READ_ONLY", SourceErrorSort.Passing),
        [279] = new("ALL_CONNECTION_TRIES_FAILED", SourceErrorSort.Passing),
        [369] = new("ALL_REPLICAS_ARE_STALE", SourceErrorSort.Passing),
        [394] = new("QUERY_WAS_CANCELLED", SourceErrorSort.Passing),
        [425] = new("SYSTEM_ERROR", SourceErrorSort.Passing),
        [473] = new("DEADLOCK_AVOIDED", SourceErrorSort.Passing),
        [999] = new("KEEPER_EXCEPTION", SourceErrorSort.Passing),

        // ClickHouse itself is wrong.
        [49] = new("LOGICAL_ERROR", SourceErrorSort.Bug),
    };

    /// <summary>All codes that are sorted.</summary>
    public static IReadOnlyDictionary<int, SourceErrorClass> All => Codes;

    /// <summary>What follows from a code.</summary>
    public static SourceErrorSort Of(int code) => Codes.TryGetValue(code, out var found) ? found.Sort : SourceErrorSort.Passing;
}

/// <summary>A code's name in ClickHouse, and what follows from it.</summary>
internal sealed record SourceErrorClass(string Name, SourceErrorSort Sort);

/// <summary>What follows from an error of ClickHouse.</summary>
internal enum SourceErrorSort
{
    /// <summary>User or password are wrong.</summary>
    Login,

    /// <summary>The user lacks a grant.</summary>
    Grant,

    /// <summary>The user's profile forbids settings.</summary>
    Profile,

    /// <summary>A limit of ours is one that the server does not know, or more than it allows.</summary>
    Limits,

    /// <summary>The model does not fit the tables.</summary>
    Model,

    /// <summary>An expression cannot be computed for some row.</summary>
    Values,

    /// <summary>The server asks for a pause.</summary>
    Busy,

    /// <summary>The query takes more than it may.</summary>
    TooMuch,

    /// <summary>It gets better by itself.</summary>
    Passing,

    /// <summary>ClickHouse has a bug.</summary>
    Bug,
}
