using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Engine.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.AspNetCore.Http;
using Npgsql;

namespace Exporter.Exports.Api;

/// <summary>Why something was not answered, as RFC 9457 has it, with the setting to change and what to do.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Title">What kind of problem it is.</param>
/// <param name="Detail">What is wrong.</param>
/// <param name="Setting">The setting or parameter to change.</param>
/// <param name="Advice">What to do.</param>
internal sealed record ApiProblem(int Status, string Title, string? Detail = null, string? Setting = null, string? Advice = null)
{
    public const string MediaType = "application/problem+json";

    /// <summary>When to ask again. Default none.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Further members. Default none.</summary>
    public IReadOnlyDictionary<string, string?> More { get; init; } = new Dictionary<string, string?>();

    public static ApiProblem Unknown { get; } = new(StatusCodes.Status401Unauthorized, "Not logged in", "There is no login, session or key, or it has ended.", null, "Send Authorization: Bearer exk_..., or log in.");

    public static ApiProblem NotFound { get; } = new(StatusCodes.Status404NotFound, "Not found", "There is nothing here.", null, "See openapi.json for the routes.");

    public static ApiProblem Forbidden(ApiNeed need) => new(StatusCodes.Status403Forbidden, "Not allowed", need.ToString(), null, "Ask an administrator for the role.");

    /// <summary>The problem of an error.</summary>
    public static ApiProblem Of(Exception error) => error switch
    {
        ApiProblemException problem => problem.Problem,
        UserErrorException user => Of(user),
        BadHttpRequestException bad => new(bad.StatusCode, bad.StatusCode == StatusCodes.Status413PayloadTooLarge ? "Too large" : "Not a request", "The request cannot be read.", "body"),
        RequestTakenOverException => new(StatusCodes.Status409Conflict, "Taken over", error.Message, "Idempotency-Key"),
        CryptographicException => new(StatusCodes.Status409Conflict, "Not readable", "What is stored is encrypted with another key.", "encryption_key", "Set EXPORTER_ENCRYPTION_KEY to the keys that it was encrypted with."),

        // Class 22: a value that the database cannot take, such as a text with a zero byte.
        PostgresException { SqlState: ['2', '2', ..] } postgres => Refused(postgres),
        PostgresException { SqlState: PostgresErrorCodes.CheckViolation or PostgresErrorCodes.ProgramLimitExceeded or PostgresErrorCodes.StatementTooComplex } postgres => Refused(postgres),
        PostgresException { SqlState: PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.ForeignKeyViolation or PostgresErrorCodes.ExclusionViolation } =>
            new(StatusCodes.Status409Conflict, "Conflict", "Something that is there, or is not there any more, stands in the way.", null, "Read it again."),
        PostgresException { SqlState: PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.UndefinedColumn or PostgresErrorCodes.UndefinedFunction } =>
            Unavailable("The database does not have this version's schema.", "postgres", "Run `exporter migrate`."),
        PostgresException { IsTransient: true } or NpgsqlException { IsTransient: true } => Unavailable("The database cannot be reached now.", "postgres", "Ask again."),
        _ when SourceErrors.Classify(error) is { } source => source.Kind == ErrorKind.User
            ? new(StatusCodes.Status400BadRequest, "Refused", ErrorText.Scrub(source.Message), source.Setting, source.Advice)
            : Unavailable(ErrorText.Scrub(source.Message), source.Setting ?? "clickhouse", source.Advice ?? "Ask again."),
        _ => new(StatusCodes.Status500InternalServerError, "Failed", "Something went wrong that is ours to mend; the server's log says what."),
    };

    /// <summary>As it is answered.</summary>
    public ApiAnswer ToAnswer()
    {
        var body = new JsonObject { ["type"] = "about:blank", ["title"] = Title, ["status"] = Status };
        foreach (var (name, value) in new[] { KeyValuePair.Create("detail", Detail), new("setting", Setting), new("advice", Advice) }.Concat(More).Where(pair => pair.Value is not null))
        {
            body[name] = value;
        }

        return new ApiAnswer { Status = Status, Body = JsonSerializer.Serialize(body, ExportJson.Options), BodyType = MediaType, RetryAfter = RetryAfter };
    }

    private static ApiProblem Of(UserErrorException user)
    {
        var (status, title) = user.Reason switch
        {
            UserErrorReason.NotFound => (StatusCodes.Status404NotFound, "Not found"),
            UserErrorReason.Conflict => (StatusCodes.Status409Conflict, "Conflict"),
            UserErrorReason.Changed => (StatusCodes.Status412PreconditionFailed, "Changed meanwhile"),
            _ => (StatusCodes.Status400BadRequest, "Refused"),
        };
        return new(status, title, ErrorText.Scrub(user.Problem), user.Setting, user.Advice);
    }

    private static ApiProblem Refused(PostgresException error) =>
        new(StatusCodes.Status400BadRequest, "Refused", "A value cannot be stored: " + ErrorText.Scrub(error.MessageText) + ".", null, "Correct it.");

    private static ApiProblem Unavailable(string detail, string setting, string advice) =>
        new(StatusCodes.Status503ServiceUnavailable, "Not now", detail, setting, advice) { RetryAfter = TimeSpan.FromSeconds(5) };
}

/// <summary>A problem that is known as such.</summary>
internal sealed class ApiProblemException(ApiProblem problem) : Exception(problem.Detail ?? problem.Title)
{
    public ApiProblem Problem { get; } = problem;
}
