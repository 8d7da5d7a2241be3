using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Api;

/// <summary>What a handler works with: who asks, for what, and the classes that do it.</summary>
internal sealed class ApiRequest(HttpContext http, KnownCaller? known, ApiServices services, LoginLimiter limiter, ReadOnlyMemory<byte> body)
{
    public HttpContext Http => http;

    /// <summary>Who asks, and how that is known; null where nobody has to be known.</summary>
    public KnownCaller? Known => known;

    /// <summary>Who asks; somebody who may do nothing where nobody has to be known.</summary>
    public Caller Caller { get; } = known?.Caller ?? new Caller("", []);

    public LoginLimiter Limiter => limiter;

    /// <summary>Who asks, for the audit log.</summary>
    public string Actor => Caller.Name;

    public ApiServices Services => services;

    /// <summary>The project of the path.</summary>
    public string Project => Route("project");

    /// <summary>The name of the path.</summary>
    public string Name => Route("name");

    /// <summary>The id of the path.</summary>
    /// <exception cref="ApiProblemException">It is none, so there is nothing of it.</exception>
    public Guid Id => Guid.TryParseExact(Route("id"), "D", out var id) ? id : throw new ApiProblemException(ApiProblem.NotFound);

    public DestinationStore Destinations => services.Destinations.In(Project);

    public BatchExportStore Exports => services.Exports.In(Project);

    public ExportControl ExportControl => services.ExportControl.In(Project);

    public NotificationStore Notifications => services.Notifications.In(Project);

    public ReadOnlyMemory<byte> RawBody => body;

    /// <summary>Whether there is a body.</summary>
    public bool HasBody => body.Length > 0;

    /// <summary>A query parameter.</summary>
    /// <exception cref="UserErrorException">It is not one that it can have.</exception>
    public T? Get<T>(ApiParameter<T> parameter) => parameter.Of(http.Request.Query.TryGetValue(parameter.Name, out var values) ? values.ToString() : null);

    /// <summary>How many entries a page has.</summary>
    public int Limit => Get(ApiParameters.Limit)!.Value;

    /// <summary>Where the page before ended; null for the first one.</summary>
    public T? Cursor<T>()
        where T : class => ApiCursor.Read<T>(Get(ApiParameters.Cursor));

    /// <summary>The body.</summary>
    /// <exception cref="UserErrorException">It is not of this form.</exception>
    public T Body<T>() => ApiBody.Read<T>(body.Span);

    /// <summary>The body, or what it is when it is left out.</summary>
    public T BodyOr<T>(T usual) => HasBody ? Body<T>() : usual;

    /// <summary>The body as it is.</summary>
    /// <exception cref="UserErrorException">It is no JSON object.</exception>
    public JsonObject BodyNode() => ApiBody.Node(body.Span) as JsonObject ?? throw new UserErrorException("body", "The body is no JSON object.", "Send one.");

    /// <summary>The version that <c>If-Match</c> names; null when any is right.</summary>
    /// <exception cref="ApiProblemException">It names something else than a version of ours.</exception>
    public DateTimeOffset? IfMatch => http.Request.Headers.IfMatch.ToString() switch
    {
        "" or "*" => null,
        var tag => ApiAnswer.VersionOf(tag) ?? throw new ApiProblemException(
            new(StatusCodes.Status412PreconditionFailed, "Changed meanwhile", "If-Match names no version of it.", "If-Match", "Read it again, and send its ETag.")),
    };

    /// <summary>The address of something below <c>/api/v1</c>.</summary>
    public string Url(string path) => Prefix(http) + path;

    /// <summary>A run of the project.</summary>
    /// <exception cref="UserErrorException">There is none of this id in the project.</exception>
    public async Task<RunView> RunAsync(CancellationToken cancellationToken)
    {
        var run = await services.Runs.GetAsync(Id, cancellationToken).ConfigureAwait(false);
        return run.Project == Project ? run : throw Elsewhere("run");
    }

    /// <summary>A backfill of the project.</summary>
    /// <exception cref="UserErrorException">There is none of this id in the project.</exception>
    public async Task<BackfillView> BackfillAsync(CancellationToken cancellationToken)
    {
        var backfill = await services.Backfills.GetAsync(Id, cancellationToken).ConfigureAwait(false);
        return backfill.Project == Project ? backfill : throw Elsewhere("backfill");
    }

    /// <summary>What is in another project is answered as what is not there.</summary>
    public UserErrorException Elsewhere(string what) => new(
        what, string.Create(CultureInfo.InvariantCulture, $"There is no {what} {Id} in this project."), $"List the project's {what}s.", reason: UserErrorReason.NotFound);

    /// <summary>Where the API is mounted, with the host's own base.</summary>
    internal static string Prefix(HttpContext http)
    {
        var path = http.Request.Path.Value ?? "";
        var end = path.IndexOf(ApiRoutes.Root, StringComparison.Ordinal);
        return http.Request.PathBase + path[..(end < 0 ? 0 : end)] + ApiRoutes.Root;
    }

    private string Route(string name) => http.Request.RouteValues[name] as string ?? throw new InvalidOperationException($"The route has no {name}.");
}
