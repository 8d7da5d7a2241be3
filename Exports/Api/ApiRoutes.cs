using Exporter.Exports.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Exports.Api;

/// <summary>The route table, and how it becomes routes.</summary>
internal static class ApiRoutes
{
    /// <summary>Where the API is, below where it is mounted.</summary>
    public const string Root = "/api/v1";

    private const string MergePatch = "application/merge-patch+json";
    private static readonly string[] Yaml = ["application/yaml", "application/x-yaml", "text/yaml"];

    /// <summary>Everything that can be asked for.</summary>
    public static IReadOnlyList<ApiOperation> All { get; } =
    [
        .. ExportRoutes.Operations,
        .. RunRoutes.Operations,
        .. BackfillRoutes.Operations,
        .. DestinationRoutes.Operations,
        .. DeadLetterRoutes.Operations,
        .. NotificationRoutes.Operations,
        .. ProjectRoutes.Operations,
        .. EngineRoutes.Operations,
        .. AccessRoutes.Operations,
    ];

    /// <summary>The media types that a body may have.</summary>
    public static IReadOnlyList<string> BodyTypes(ApiOperation operation) => operation switch
    {
        { Method: "PATCH" } => ["application/json", MergePatch],
        { Id: "apply_configuration" } => ["application/json", .. Yaml],
        _ => ["application/json"],
    };

    /// <summary>Whether a body is YAML.</summary>
    public static bool IsYaml(string? contentType) => Yaml.Contains(contentType?.Split(';', 2)[0].Trim(), StringComparer.OrdinalIgnoreCase);

    /// <summary>Lets a route that is not of the table answer only who may.</summary>
    public static void Guard(IEndpointConventionBuilder route, ApiNeed need) => route.Add(endpoint =>
    {
        var answer = endpoint.RequestDelegate!;
        endpoint.RequestDelegate = async http =>
        {
            if (await http.RequestServices.GetRequiredService<ApiDispatcher>().RefusesAsync(http, need).ConfigureAwait(false) is { } problem)
            {
                await problem.ToAnswer().WriteAsync(http).ConfigureAwait(false);
            }
            else
            {
                await answer(http).ConfigureAwait(false);
            }
        };
    });

    private static string DocumentOf(HttpContext http) => OpenApiDocument.Make(ApiRequest.Prefix(http)).ToJsonString(ExportJson.Options);

    /// <summary>Maps every operation.</summary>
    public static void Map(RouteGroupBuilder group)
    {
        var api = group.MapGroup(Root);
        api.MapGet("/openapi.json", http => new ApiAnswer { Status = StatusCodes.Status200OK, Body = DocumentOf(http) }.WriteAsync(http)).WithDisplayName("openapi");
        foreach (var operation in All)
        {
            api.MapMethods(operation.Path, [operation.Method], http => http.RequestServices.GetRequiredService<ApiDispatcher>().AnswerAsync(http, operation))
                .WithDisplayName(operation.Id);
        }
    }
}
