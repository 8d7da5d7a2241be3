using System.Globalization;
using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A statement that failed: what the SQL API says then.</summary>
internal sealed class SnowflakeFailure(string code, string sqlState, string message) : Exception(message)
{
    public string Code { get; } = code;

    public string SqlState { get; } = sqlState;

    public static SnowflakeFailure Compilation(string message) => new("001003", "42000", "SQL compilation error:\n" + message);

    public static SnowflakeFailure Missing(string what, string name, string sqlState = "02000") =>
        new("002003", sqlState, $"SQL compilation error:\n{what} '{name}' does not exist or not authorized.");

    public static SnowflakeFailure Unsupported(string statement) => new("391911", "0A000", $"Unsupported statement type '{statement}'.");
}

/// <summary>What a statement has answered.</summary>
/// <param name="Columns">Names.</param>
/// <param name="Rows">Values as text.</param>
internal sealed record SnowflakeAnswer(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows)
{
    public static SnowflakeAnswer Status(string text) => new(["status"], [[text]]);

    public static SnowflakeAnswer Number(string name, long count) => new([name], [[count.ToString(CultureInfo.InvariantCulture)]]);
}

/// <summary>
/// The shapes of https://docs.snowflake.com/en/developer-guide/sql-api/reference: ResultSet, QueryStatus, QueryFailureStatus.
/// </summary>
internal static class SnowflakeAnswers
{
    public static JsonObject ResultSet(string handle, string requestId, SnowflakeAnswer answer, int partitionRows, int partition, IReadOnlyList<string>? children)
    {
        var all = answer.Rows.Chunk(partitionRows).ToList();
        var data = new JsonArray([.. (partition < all.Count ? all[partition] : []).Select(row => (JsonNode)new JsonArray([.. row.Select(value => (JsonNode?)value)]))]);
        if (partition > 0)
        {
            return new JsonObject { ["data"] = data };
        }

        var result = new JsonObject
        {
            ["resultSetMetaData"] = new JsonObject
            {
                ["numRows"] = answer.Rows.Count,
                ["format"] = "jsonv2",
                ["partitionInfo"] = new JsonArray([.. all.Select(rows => (JsonNode)new JsonObject { ["rowCount"] = rows.Length, ["uncompressedSize"] = rows.Length * 50 })]),
                ["rowType"] = new JsonArray([.. answer.Columns.Select(name => (JsonNode)new JsonObject
                {
                    ["name"] = name, ["database"] = "", ["schema"] = "", ["table"] = "", ["type"] = "text", ["byteLength"] = 16777216, ["length"] = 16777216,
                    ["scale"] = null, ["precision"] = null, ["nullable"] = true, ["collation"] = null,
                })]),
            },
            ["data"] = data,
            ["code"] = "090001",
            ["statementStatusUrl"] = Url(handle, requestId),
            ["requestId"] = requestId,
            ["sqlState"] = "00000",
            ["statementHandle"] = handle,
            ["message"] = "Statement executed successfully.",
            ["createdOn"] = 1622494569592,
        };
        if (children is not null)
        {
            result["statementHandles"] = new JsonArray([.. children.Select(child => (JsonNode)child)]);
        }

        return result;
    }

    public static JsonObject UnderWay(string handle, string requestId) => new()
    {
        ["code"] = "333334",
        ["message"] = "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
        ["statementHandle"] = handle,
        ["statementStatusUrl"] = Url(handle, requestId),
    };

    public static JsonObject Failure(string? handle, string code, string sqlState, string message) => new()
    {
        ["code"] = code, ["sqlState"] = sqlState, ["message"] = message, ["statementHandle"] = handle, ["createdOn"] = 1622494569592,
    };

    /// <summary>As the page on multiple statements shows it: what failed, where, and the statement's own message inside.</summary>
    public static SnowflakeFailure OfSeveral(string statement, SnowflakeFailure inner)
    {
        var start = statement.Length > 40 ? statement[..40] + " ..." : statement;
        return new SnowflakeFailure(
            "100132",
            "P0000",
            $"JavaScript execution error: Uncaught Execution of multiple statements failed on statement \"{start}\" (at line 1, position 75).\n{inner.Message} in SYSTEM$MULTISTMT at '    throw `Execution of multiple statements failed on statement {{0}} (at line {{1}}, position {{2}}).`.replace('{{1}}', LINES[i])' position 4\nstackstrace: \nSYSTEM$MULTISTMT line: 10");
    }

    private static string Url(string handle, string requestId) => $"/api/v2/statements/{handle}?requestId={requestId}";
}
