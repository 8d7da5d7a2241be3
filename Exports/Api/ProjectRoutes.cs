using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Model;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Projects, what was done in them, and their configuration as a whole.</summary>
internal static class ProjectRoutes
{
    private const string One = "/projects/{project}";

    private static readonly ApiParameter<string> NameOf = Text("name", "Only of what has this name.");
    private static readonly ApiParameter<string> By = Text("by", "Only by this one.");
    private static readonly ApiParameter<DateTimeOffset?> Since = Time("since", "Only from then on.");
    private static readonly ApiParameter<bool> DryRun = Truth("dry_run", "Whether only the plan is answered. Default false.");
    private static readonly ApiParameter<bool> Prune = Truth("prune", "Whether what the document does not have is deleted. Default false.");
    private static readonly ApiParameter<bool> SkipTest = Truth("skip_test", "Whether destinations and models are not tested. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = "/projects", Id = "list_projects", Summary = "List the projects in which one may see something, by name.", Need = ApiNeed.Known, Answer = typeof(ApiPage<ProjectView>),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(new ApiPage<ProjectView>(
                [.. (await request.Services.Projects.ListAsync(cancellationToken).ConfigureAwait(false)).Where(one => request.Caller.Sees(one.Name))], null)),
        },
        new()
        {
            Method = "POST", Path = "/projects", Id = "create_project", Summary = "Create a project.", Need = ApiNeed.InAll(AccessRole.Admin),
            Body = typeof(ProjectOrder), Answer = typeof(ProjectView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var created = await request.Services.Projects.CreateAsync(request.Body<ProjectOrder>().Name, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Created(created, request.Url($"/projects/{created.Name}"));
            },
        },
        new()
        {
            Method = "GET", Path = One, Id = "get_project", Summary = "A project.", Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(ProjectView),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(await request.Services.Projects.GetAsync(request.Project, cancellationToken).ConfigureAwait(false)),
        },
        new()
        {
            Method = "DELETE", Path = One, Id = "delete_project", Summary = "Delete a project that never had anything in it.", Need = ApiNeed.InAll(AccessRole.Admin), Status = 204,
            Does = async (request, cancellationToken) =>
            {
                await request.Services.Projects.DeleteAsync(request.Project, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
        Audit(One + "/audit", "list_audit", ApiNeed.InProject(AccessRole.Viewer), request => request.Project),
        Audit("/audit", "list_all_audit", ApiNeed.InAll(AccessRole.Admin), _ => null),
        new()
        {
            Method = "GET", Path = One + "/configuration", Id = "get_configuration", Summary = "Destinations and exports as a document for apply, without secrets.",
            Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(JsonObject),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(ConfigurationWriter.Write(
                await request.Destinations.ListAsync(cancellationToken).ConfigureAwait(false),
                await request.Exports.ListAsync(cancellationToken).ConfigureAwait(false),
                references: false)),
        },
        new()
        {
            Method = "POST", Path = One + "/configuration", Id = "apply_configuration",
            Summary = "Make destinations and exports as a document says, in JSON or YAML; a secret that is left out stays as it is.",
            Need = ApiNeed.InProject(AccessRole.Admin), Takes = [DryRun, Prune, SkipTest], Body = typeof(ConfigurationDocument), Answer = typeof(AppliedConfiguration), RepeatsItself = true,
            Does = ApplyAsync,
        },
    ];

    private static ApiOperation Audit(string path, string id, ApiNeed need, Func<ApiRequest, string?> projectOf) => new()
    {
        Method = "GET", Path = path, Id = id, Summary = "Who changed what, the newest first, with what is another after each.", Need = need,
        Takes = [NameOf, By, Since, Limit, Cursor], Answer = typeof(ApiPage<AuditAnswer>),
        Does = async (request, cancellationToken) =>
        {
            var entries = await request.Services.Audit.ListAsync(
                new AuditFilter
                {
                    Project = projectOf(request),
                    Name = request.Get(NameOf),
                    Actor = request.Get(By),
                    Since = request.Get(Since),
                    Before = request.Cursor<ApiCursor.Numbered>()?.Number,
                    Limit = request.Limit + 1,
                },
                cancellationToken).ConfigureAwait(false);
            return ApiAnswer.Page<AuditAnswer>(
                [.. entries.Select(one => new AuditAnswer(one, one.Changes()))], request.Limit, one => ApiCursor.Of(new ApiCursor.Numbered(one.Entry.AuditId)));
        },
    };

    private static async Task<ApiAnswer> ApplyAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        // JSON is YAML, but with JSON an error has its place.
        var node = ApiRoutes.IsYaml(request.Http.Request.ContentType)
            ? YamlText.Read(System.Text.Encoding.UTF8.GetString(request.RawBody.Span), "the body")
            : ApiBody.Node(request.RawBody.Span);
        var document = ConfigurationDocument.Read(node, "the body");
        var applier = new ConfigurationApplier(request.Destinations, request.Exports);
        var (destinations, exports) = await applier.LoadAsync(cancellationToken).ConfigureAwait(false);
        var there = destinations.ToDictionary(one => one.Name, StringComparer.Ordinal);
        var wanted = new List<Destination>();
        foreach (var one in document.Destinations)
        {
            var full = WithSecretsThatAreThere(one, there);
            DestinationRoutes.CheckKind(request, full["kind"]?.ToString() ?? "");
            wanted.Add(DestinationDocument.Of(full, "the body", references: false));
        }

        _ = document.Exports.Select(one => one.ToBatchExport()).ToList();
        var plan = ConfigurationPlan.Of(wanted, document.Exports, destinations, exports, request.Get(Prune));
        foreach (var step in plan.Steps.Where(step => step is { Action: PlannedAction.Delete, Kind: "destination" }))
        {
            DestinationRoutes.CheckKind(request, there[step.Name].Kind);
        }

        var does = plan.Steps.Count > 0 && !request.Get(DryRun);
        if (does && !request.Get(SkipTest))
        {
            await ConfigurationApplier.TestAsync(
                plan, request.Services.DescribeAsync, "Nothing was changed; skip_test=true does it all the same.", cancellationToken).ConfigureAwait(false);
        }

        foreach (var step in does ? plan.Steps : [])
        {
            await applier.ApplyAsync(step, request.Actor, cancellationToken).ConfigureAwait(false);
        }

        return ApiAnswer.Ok(new AppliedConfiguration(plan.Steps, does));
    }

    private static JsonObject WithSecretsThatAreThere(JsonObject wanted, Dictionary<string, Destination> there)
    {
        if (!there.TryGetValue(wanted["name"]?.ToString() ?? "", out var before) || wanted["kind"]?.ToString() != before.Kind)
        {
            return wanted;
        }

        var full = (JsonObject)wanted.DeepClone();
        foreach (var (name, value) in before.Secrets.Where(secret => !wanted.ContainsKey(secret.Key)))
        {
            full[name] = value;
        }

        return full;
    }
}

/// <summary>A project that is to be made.</summary>
internal sealed record ProjectOrder
{
    public required string Name { get; init; }
}

/// <summary>A change, and the fields that are others after it.</summary>
internal sealed record AuditAnswer(AuditView Entry, IReadOnlyList<FieldChange> Changes);

/// <summary>What was done, or would be.</summary>
internal sealed record AppliedConfiguration(IReadOnlyList<PlannedStep> Steps, bool Applied);
