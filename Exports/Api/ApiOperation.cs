using Exporter.Exports.Model;

namespace Exporter.Exports.Api;

/// <summary>One thing that can be asked for over HTTP: a line of the route table, from which the routes, the checks and the OpenAPI document are made.</summary>
internal sealed record ApiOperation
{
    /// <summary>GET, POST, PATCH or DELETE.</summary>
    public required string Method { get; init; }

    /// <summary>Its path below <c>/api/v1</c>, with <c>{project}</c>, <c>{name}</c> and <c>{id}</c> for what varies.</summary>
    public required string Path { get; init; }

    /// <summary>Its name, for generated clients.</summary>
    public required string Id { get; init; }

    /// <summary>What it does, in one sentence.</summary>
    public required string Summary { get; init; }

    /// <summary>Who may ask for it.</summary>
    public required ApiNeed Need { get; init; }

    /// <summary>Does it.</summary>
    public required Func<ApiRequest, CancellationToken, Task<ApiAnswer>> Does { get; init; }

    /// <summary>Query parameters; any other is refused. Default none.</summary>
    public IReadOnlyList<ApiParameter> Takes { get; init; } = [];

    /// <summary>What the body is; null: there is none.</summary>
    public Type? Body { get; init; }

    /// <summary>Whether the body may be left out. Default false.</summary>
    public bool BodyIsOptional { get; init; }

    /// <summary>What a success answers with; null: nothing, status 204.</summary>
    public Type? Answer { get; init; }

    /// <summary>The status of a success. Default 200, or 204 where there is no answer.</summary>
    public int Status { get; init; } = 200;

    /// <summary>The media type of the answer. Default JSON.</summary>
    public string AnswerType { get; init; } = "application/json";

    /// <summary>Whether <c>If-Match</c> is honoured, and answers carry an ETag. Default false.</summary>
    public bool Matches { get; init; }

    /// <summary>Whether the answer shows a secret once, so that it is not kept for a repeat. Default false.</summary>
    public bool ShowsSecret { get; init; }

    /// <summary>Whether who has a one-time password may ask for it. Default false.</summary>
    public bool BeforePasswordChange { get; init; }

    /// <summary>Whether doing it twice is doing it once by its nature, in steps that are each a change of their own. Default false.</summary>
    public bool RepeatsItself { get; init; }

    /// <summary>The first word of the path, by which documents group.</summary>
    public string Group => Path.Split('/', StringSplitOptions.RemoveEmptyEntries) is ["projects", _, var group, ..] ? group : Path.Split('/')[1];

    public override string ToString() => $"{Method} {Path}";
}

/// <summary>Who may ask for something.</summary>
/// <param name="Kind">Where the role is needed.</param>
/// <param name="Role">The least role.</param>
internal sealed record ApiNeed(ApiScope Kind, AccessRole Role = AccessRole.Viewer)
{
    /// <summary>Everybody, known or not.</summary>
    public static ApiNeed Nobody { get; } = new(ApiScope.Nobody);

    /// <summary>Everybody who is known.</summary>
    public static ApiNeed Known { get; } = new(ApiScope.Known);

    /// <summary>A role in the project of the path.</summary>
    public static ApiNeed InProject(AccessRole role) => new(ApiScope.Project, role);

    /// <summary>A role in all projects.</summary>
    public static ApiNeed InAll(AccessRole role) => new(ApiScope.All, role);

    public override string ToString() => Kind switch
    {
        ApiScope.Nobody => "Needs no login.",
        ApiScope.Known => "Needs a login or key of any role.",
        ApiScope.Project => $"Needs the role {ExportJson.Word(Role)} in the project.",
        _ => $"Needs the role {ExportJson.Word(Role)} in all projects.",
    };
}

/// <summary>Where a role is needed.</summary>
internal enum ApiScope
{
    Nobody,
    Known,
    Project,
    All,
}
