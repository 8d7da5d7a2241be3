using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Files;
using Exporter.Exports.Model;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Destinations: where rows go. Secrets come in and never go out.</summary>
internal static class DestinationRoutes
{
    private const string All = "/projects/{project}/destinations";
    private const string One = All + "/{name}";

    private static readonly ApiParameter<bool> SkipTest = Truth("skip_test", "Whether it is stored even if it cannot be reached now. Default false.");
    private static readonly ApiParameter<bool> DryRun = Truth("dry_run", "Whether only the changes are answered, after the test. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = "/destination-kinds", Id = "list_destination_kinds", Summary = "The kinds of destinations, with everything that can be set.", Need = ApiNeed.Known,
            Answer = typeof(ApiPage<KindAnswer>),
            Does = (_, _) => Task.FromResult(ApiAnswer.Ok(new ApiPage<KindAnswer>([.. DestinationKinds.All.Select(kind => new KindAnswer(kind.Name, kind.Description, kind.Settings))], null))),
        },
        new()
        {
            Method = "GET", Path = All, Id = "list_destinations", Summary = "List destinations, by name, without their secrets.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Takes = [Limit, Cursor], Answer = typeof(ApiPage<DestinationView>),
            Does = async (request, cancellationToken) =>
            {
                var after = request.Cursor<ApiCursor.Named>();
                var destinations = await request.Destinations.ListAsync(after?.Name, request.Limit + 1, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(destinations, request.Limit, one => ApiCursor.Of(new ApiCursor.Named(one.Name)));
            },
        },
        new()
        {
            Method = "POST", Path = All, Id = "create_destination", Summary = "Create a destination, after testing it.", Need = ApiNeed.InProject(AccessRole.Admin),
            Takes = [SkipTest], Body = typeof(DestinationOrder), Answer = typeof(DestinationView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var destination = Read(request);
                if (!request.Get(SkipTest))
                {
                    await DestinationTrial.DemandAsync(destination, "Nothing was created; skip_test=true creates it all the same.", cancellationToken).ConfigureAwait(false);
                }

                var created = await request.Destinations.CreateAsync(destination, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Created(created, request.Url($"/projects/{request.Project}/destinations/{created.Name}")) with { ETag = ApiAnswer.TagOf(created.UpdatedAt) };
            },
        },
        new()
        {
            Method = "POST", Path = All + "/test", Id = "test_new_destination", Summary = "Try a destination step by step before it is created; leaves nothing behind.",
            Need = ApiNeed.InProject(AccessRole.Admin), Body = typeof(DestinationOrder), Answer = typeof(ApiPage<CheckResult>),
            Does = (request, cancellationToken) => TestAsync(Read(request), cancellationToken),
        },
        new()
        {
            Method = "GET", Path = One, Id = "get_destination", Summary = "A destination, without its secrets.", Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(DestinationView), Matches = true,
            Does = async (request, cancellationToken) =>
            {
                var one = await request.Destinations.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(one, one.UpdatedAt);
            },
        },
        new()
        {
            Method = "PATCH", Path = One, Id = "edit_destination", Summary = "Change settings and secrets of a destination, after testing them; null takes one away.",
            Need = ApiNeed.InProject(AccessRole.Admin), Takes = [SkipTest, DryRun], Body = typeof(DestinationPatch), Answer = typeof(ChangedDestination), Matches = true,
            Does = EditAsync,
        },
        new()
        {
            Method = "POST", Path = One + "/test", Id = "test_destination", Summary = "Try, step by step, what an export will do; leaves nothing behind.",
            Need = ApiNeed.InProject(AccessRole.Operator), Answer = typeof(ApiPage<CheckResult>),
            Does = async (request, cancellationToken) =>
            {
                var view = await request.Destinations.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
                return await TestAsync(await request.Destinations.LoadAsync(view.DestinationId, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
            },
        },
        new()
        {
            Method = "DELETE", Path = One, Id = "delete_destination", Summary = "Delete a destination and its secrets; what was exported stays.",
            Need = ApiNeed.InProject(AccessRole.Admin), Status = 204,
            Does = async (request, cancellationToken) =>
            {
                await request.Destinations.DeleteAsync(request.Name, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
    ];

    /// <summary>Refuses a destination on the server's own disk to who may not do everything: its folder may be any that the server may write.</summary>
    /// <exception cref="ApiProblemException">It is one.</exception>
    public static void CheckKind(ApiRequest request, string kind)
    {
        if (kind == FilesOptions.Kind.Name && !request.Caller.May(AccessRole.Admin, null))
        {
            throw new ApiProblemException(ApiProblem.Forbidden(ApiNeed.InAll(AccessRole.Admin)) with { Setting = "kind", Advice = "Files lie on the server; ask an administrator of all projects." });
        }
    }

    private static Destination Read(ApiRequest request)
    {
        var order = request.Body<DestinationOrder>();
        CheckKind(request, order.Kind);
        var destination = new Destination { Name = order.Name, Kind = order.Kind, Settings = order.Settings, Secrets = order.Secrets }.Validate();
        DestinationKinds.Get(destination.Kind).Check(destination);
        return destination;
    }

    private static async Task<ApiAnswer> TestAsync(Destination destination, CancellationToken cancellationToken) =>
        ApiAnswer.Ok(new ApiPage<CheckResult>(await DestinationTrial.ListAsync(destination, cancellationToken).ConfigureAwait(false), null));

    private static async Task<ApiAnswer> EditAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        var patch = request.Body<DestinationPatch>();
        var view = await request.Destinations.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
        CheckKind(request, view.Kind);
        var edit = new DestinationEdit
        {
            Settings = patch.Settings.ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal),
            Secrets = patch.Secrets,
            RowsWereMoved = patch.RowsWereMoved,
            UnchangedSince = request.IfMatch ?? view.UpdatedAt,
        };
        ModelCheck.Unchanged(view.Name, view.UpdatedAt, edit.UnchangedSince);
        var edited = edit.Of(await request.Destinations.LoadAsync(view.DestinationId, cancellationToken).ConfigureAwait(false)).Validate();
        DestinationKinds.Get(view.Kind).Check(edited);
        if (!request.Get(SkipTest))
        {
            await DestinationTrial.DemandAsync(edited, "Nothing was changed; skip_test=true changes it all the same.", cancellationToken).ConfigureAwait(false);
        }

        var changes = edit.Changes(view, edited);
        var dry = request.Get(DryRun);
        var after = dry ? view : await request.Destinations.EditAsync(view.Name, edit, request.Actor, cancellationToken).ConfigureAwait(false);
        return ApiAnswer.Ok(new ChangedDestination(after, changes, !dry), after.UpdatedAt);
    }
}

/// <summary>A kind of destination.</summary>
internal sealed record KindAnswer(string Name, string Description, IReadOnlyList<DestinationSetting> Settings);

/// <summary>A destination that is to be made.</summary>
internal sealed record DestinationOrder
{
    public required string Name { get; init; }

    public required string Kind { get; init; }

    public JsonObject Settings { get; init; } = [];

    public Dictionary<string, string> Secrets { get; init; } = [];
}

/// <summary>What is to be changed of a destination; null takes a setting or secret away.</summary>
internal sealed record DestinationPatch
{
    public JsonObject Settings { get; init; } = [];

    public Dictionary<string, string?> Secrets { get; init; } = [];

    public bool RowsWereMoved { get; init; }
}

/// <summary>A destination that was changed, or would be; secrets masked.</summary>
internal sealed record ChangedDestination(DestinationView Destination, IReadOnlyList<FieldChange> Changes, bool Changed);
