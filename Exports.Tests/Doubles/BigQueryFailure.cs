using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>Why a request is refused, or a job has failed: https://cloud.google.com/bigquery/docs/error-messages.</summary>
internal sealed class BigQueryFailure(int status, string reason, string message) : Exception(message)
{
    public int Status => status;

    public string Reason => reason;

    public static BigQueryFailure Missing(string what, string name) => new(404, "notFound", $"Not found: {what} {name}");

    public static BigQueryFailure There(string what, string name) => new(409, "duplicate", $"Already Exists: {what} {name}");

    public static BigQueryFailure Invalid(string message) => new(400, "invalid", message);

    public static BigQueryFailure Query(string message) => new(400, "invalidQuery", message);

    public static BigQueryFailure Denied(string permission, string on) =>
        new(403, "accessDenied", $"Access Denied: {on}: Permission {permission} denied on {on} (or it may not exist).");

    /// <summary>As an answer's body.</summary>
    public JsonObject Body() => new()
    {
        ["error"] = new JsonObject
        {
            ["code"] = status,
            ["message"] = Message,
            ["errors"] = new JsonArray(new JsonObject { ["message"] = Message, ["domain"] = status == 403 && reason.EndsWith("Exceeded", StringComparison.Ordinal) ? "usageLimits" : "global", ["reason"] = reason }),
            ["status"] = status switch
            {
                400 => "INVALID_ARGUMENT",
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                409 => "ALREADY_EXISTS",
                412 => "FAILED_PRECONDITION",
                _ => "UNAVAILABLE",
            },
        },
    };

    /// <summary>As a job's errorResult.</summary>
    public JsonObject Proto() => new() { ["reason"] = reason, ["location"] = "query", ["message"] = Message };
}
