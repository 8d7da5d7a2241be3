using System.Security.Cryptography;
using System.Text;
using Exporter.Engine.Observability;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Api;

/// <summary>From a request to its answer: who asks, may they, was it asked before; then the handler. Whatever goes wrong is a problem document.</summary>
internal sealed partial class ApiDispatcher(ApiCallers callers, ApiServices services, RequestStore requests, LoginLimiter limiter, ILogger<ApiDispatcher> logger)
{
    private const int MostBody = 4 << 20;
    private const string KeyHeader = "Idempotency-Key";

    public async Task AnswerAsync(HttpContext http, ApiOperation operation)
    {
        ApiAnswer answer;
        try
        {
            answer = await DoAsync(http, operation, http.RequestAborted).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            return;
        }
        catch (Exception error)
        {
            answer = ProblemOf(error, operation).ToAnswer();
        }

        try
        {
            await answer.WriteAsync(http).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // Nobody reads it any more.
        }
    }

    /// <summary>Why somebody may not have something of all projects; null when they may.</summary>
    public async Task<ApiProblem?> RefusesAsync(HttpContext http, ApiNeed need) =>
        await callers.FindAsync(http, http.RequestAborted).ConfigureAwait(false) is not { } known ? ApiProblem.Unknown
            : known.MustChangePassword || !known.Caller.May(need.Role, null) ? ApiProblem.Forbidden(need)
            : null;

    private async Task<ApiAnswer> DoAsync(HttpContext http, ApiOperation operation, CancellationToken cancellationToken)
    {
        var known = operation.Need.Kind == ApiScope.Nobody ? null : await callers.FindAsync(http, cancellationToken).ConfigureAwait(false)
            ?? throw new ApiProblemException(ApiProblem.Unknown);
        if (known is not null)
        {
            await CheckAsync(http, operation, known, cancellationToken).ConfigureAwait(false);
        }

        CheckQuery(http, operation);
        var body = await BodyAsync(http, operation, cancellationToken).ConfigureAwait(false);
        var request = new ApiRequest(http, known, services, limiter, body);
        return operation.Method == HttpMethods.Post && known is not null && http.Request.Headers[KeyHeader].ToString() is { Length: > 0 } key
            ? await OnceAsync(request, operation, key, cancellationToken).ConfigureAwait(false)
            : await operation.Does(request, cancellationToken).ConfigureAwait(false);
    }

    private async Task CheckAsync(HttpContext http, ApiOperation operation, KnownCaller known, CancellationToken cancellationToken)
    {
        if (known.Session is { } session && operation.Method != HttpMethods.Get && !ApiCallers.IsMeant(http, session))
        {
            throw new ApiProblemException(new(
                StatusCodes.Status403Forbidden, "Not meant", "The session's token is not there, so another site may have sent this.", ApiCallers.CsrfHeader, "Send csrf_token of GET session as X-CSRF-Token."));
        }

        if (known.MustChangePassword && !operation.BeforePasswordChange)
        {
            throw new ApiProblemException(new(
                StatusCodes.Status403Forbidden, "Password to be changed", "The password is a one-time password.", "new_password", "POST session/password with a password of your own first."));
        }

        var project = operation.Need.Kind == ApiScope.Project ? (string)http.Request.RouteValues["project"]! : null;
        if (operation.Need.Kind is ApiScope.Project or ApiScope.All && !known.Caller.May(operation.Need.Role, project))
        {
            throw new ApiProblemException(ApiProblem.Forbidden(operation.Need));
        }

        if (project is not null)
        {
            await services.Projects.GetAsync(project, cancellationToken).ConfigureAwait(false);
        }
    }

    private static void CheckQuery(HttpContext http, ApiOperation operation)
    {
        foreach (var (name, values) in http.Request.Query)
        {
            if (operation.Takes.All(parameter => parameter.Name != name))
            {
                var takes = operation.Takes.Count == 0 ? "none" : string.Join(", ", operation.Takes.Select(parameter => parameter.Name));
                throw new ApiProblemException(new(StatusCodes.Status400BadRequest, "Refused", "There is a parameter that is not known.", "query", $"The parameters are: {takes}."));
            }

            if (values.Count != 1)
            {
                throw new ApiProblemException(new(StatusCodes.Status400BadRequest, "Refused", $"{name} is given more than once.", name, "Give it once."));
            }
        }
    }

    private static async Task<ReadOnlyMemory<byte>> BodyAsync(HttpContext http, ApiOperation operation, CancellationToken cancellationToken)
    {
        if (operation.Body is null && operation.Method == HttpMethods.Get)
        {
            return default;
        }

        using var body = new MemoryStream();
        var buffer = new byte[16 * 1024];
        int read;
        while ((read = await http.Request.Body.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
        {
            if (body.Length + read > MostBody)
            {
                throw new ApiProblemException(new(StatusCodes.Status413PayloadTooLarge, "Too large", $"The body has more than {MostBody >> 20} MiB.", "body", "Send less."));
            }

            body.Write(buffer, 0, read);
        }

        if (body.Length == 0)
        {
            return operation.Body is null || operation.BodyIsOptional
                ? default
                : throw new ApiProblemException(new(StatusCodes.Status400BadRequest, "Refused", "The body is empty.", "body", "Send a JSON object."));
        }

        if (operation.Body is null)
        {
            throw new ApiProblemException(new(StatusCodes.Status400BadRequest, "Refused", "There is a body, and none is expected.", "body", "Leave it out."));
        }

        var type = http.Request.ContentType?.Split(';', 2)[0].Trim() ?? "";
        if (!ApiRoutes.BodyTypes(operation).Contains(type, StringComparer.OrdinalIgnoreCase))
        {
            throw new ApiProblemException(new(
                StatusCodes.Status415UnsupportedMediaType, "Not JSON", "The body's type is not one that is read here.", "Content-Type", $"Send {string.Join(" or ", ApiRoutes.BodyTypes(operation))}."));
        }

        return body.ToArray();
    }

    // Recorded before the work; what came before under the same key is answered as it was.
    private async Task<ApiAnswer> OnceAsync(ApiRequest request, ApiOperation operation, string key, CancellationToken cancellationToken)
    {
        if (key.Length > 200 || key.Any(letter => letter is < ' ' or > '~'))
        {
            throw new ApiProblemException(new(StatusCodes.Status400BadRequest, "Refused", "The idempotency key is too long or has characters that it cannot have.", KeyHeader, "Use 1 to 200 printable ASCII characters, such as a UUID."));
        }

        var (mark, earlier) = await requests.BeginAsync(request.Actor, key, HashOf(request), cancellationToken).ConfigureAwait(false);
        if (earlier is not null)
        {
            return Repeated(earlier);
        }

        RequestMark.Current = operation.RepeatsItself ? null : mark;
        try
        {
            var answer = await operation.Does(request, cancellationToken).ConfigureAwait(false);
            RequestMark.Current = null;
            var kept = operation.ShowsSecret ? null : new KeptAnswer(answer.Body, answer.ETag, answer.Location);

            // It is done: whoever asks again has to be told so, though this one has gone.
            await requests.FinishAsync(mark!, answer.Status, kept, CancellationToken.None).ConfigureAwait(false);
            return answer;
        }
        catch (Exception error)
        {
            RequestMark.Current = null;
            if (!await requests.ForgetAsync(mark!, CancellationToken.None).ConfigureAwait(false) && error is not (OperationCanceledException or RequestTakenOverException))
            {
                var problem = ProblemOf(error, operation).ToAnswer();
                await requests.FinishAsync(mark!, problem.Status, new KeptAnswer(problem.Body, null, null), CancellationToken.None).ConfigureAwait(false);
            }

            throw;
        }
    }

    private static ApiAnswer Repeated(EarlierRequest earlier) => earlier switch
    {
        { IsSame: false } => new ApiProblem(
            StatusCodes.Status422UnprocessableEntity, "Another request", "Something else was asked for under this key.", KeyHeader, "Use a new key for a new request.").ToAnswer(),
        { Status: { } status, Answer: { } kept } => new ApiAnswer
        {
            Status = status,
            Body = kept.Body,
            BodyType = status >= 400 ? ApiProblem.MediaType : "application/json",
            ETag = kept.ETag,
            Location = kept.Location,
            IsRepeated = true,
        },
        { Committed: false, Status: null } => new ApiProblem(
            StatusCodes.Status409Conflict, "In progress", "The same request is being worked at.", KeyHeader, "Ask again in a while, under the same key.")
        { RetryAfter = TimeSpan.FromSeconds(5) }.ToAnswer(),
        _ => new ApiProblem(StatusCodes.Status409Conflict, "Done already", "The same request was done; its answer is not there.", KeyHeader, "Look at what it made or changed.")
        {
            More = new Dictionary<string, string?> { ["subject_kind"] = earlier.SubjectKind, ["subject_id"] = earlier.SubjectId?.ToString() },
        }.ToAnswer(),
    };

    private static byte[] HashOf(ApiRequest request)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var http = request.Http.Request;
        hash.AppendData(Encoding.UTF8.GetBytes($"{http.Method}\n{http.Path.Value}\n{http.QueryString.Value}\n{http.ContentType}\n"));
        hash.AppendData(request.RawBody.Span);
        return hash.GetHashAndReset();
    }

    private ApiProblem ProblemOf(Exception error, ApiOperation operation)
    {
        var problem = ApiProblem.Of(error);
        if (problem.Status >= StatusCodes.Status500InternalServerError)
        {
            Failed(logger, operation.Id, problem.Status, ErrorText.Of(error), error.GetType().FullName, ErrorText.Scrub(error.StackTrace ?? ""));
        }

        return problem;
    }

    [LoggerMessage(1, LogLevel.Error, "{Operation} was answered with {Status}: {Error} ({Type}) {Stack}")]
    private static partial void Failed(ILogger logger, string operation, int status, string error, string? type, string stack);
}
