using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Configuration;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Exporter.Exports.Sources;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Batch exports: what leaves the source, how, where to, and when.</summary>
internal static class ExportRoutes
{
    private const string All = "/projects/{project}/exports";
    private const string One = All + "/{name}";

    private static readonly ApiParameter<bool> SkipCheck = Truth("skip_check", "Whether the source is not asked about the model. Default false.");
    private static readonly ApiParameter<bool> DryRun = Truth("dry_run", "Whether only the changes are answered. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = All, Id = "list_exports", Summary = "List batch exports, by name.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Takes = [Limit, Cursor], Answer = typeof(ApiPage<BatchExportView>),
            Does = async (request, cancellationToken) =>
            {
                var after = request.Cursor<ApiCursor.Named>();
                var exports = await request.Exports.ListAsync(after?.Name, request.Limit + 1, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(exports, request.Limit, one => ApiCursor.Of(new ApiCursor.Named(one.Name)));
            },
        },
        new()
        {
            Method = "POST", Path = All, Id = "create_export", Summary = "Create a batch export, after asking the source about its model.", Need = ApiNeed.InProject(AccessRole.Admin),
            Takes = [SkipCheck], Body = typeof(ConfiguredExport), Answer = typeof(BatchExportView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var given = request.Body<ConfiguredExport>();
                var export = given.ToBatchExport() with { Note = given.Paused is true ? "created paused" : null };
                await request.Destinations.GetAsync(given.Destination, cancellationToken).ConfigureAwait(false);
                if (!request.Get(SkipCheck))
                {
                    await request.Services.Source.DescribeAsync(export.Model, cancellationToken).ConfigureAwait(false);
                }

                return Created(request, await request.Exports.CreateAsync(export, given.Destination, request.Actor, cancellationToken).ConfigureAwait(false));
            },
        },
        new()
        {
            Method = "GET", Path = One, Id = "get_export", Summary = "A batch export.", Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(BatchExportView), Matches = true,
            Does = async (request, cancellationToken) => Ok(await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false)),
        },
        new()
        {
            Method = "GET", Path = One + "/query", Id = "get_export_query", Summary = "The ClickHouse query that the rows of a batch export come from.",
            Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(ExportQuery),
            Does = async (request, cancellationToken) =>
            {
                var query = QueryBuilder.Preview((await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false)).Model);
                return ApiAnswer.Ok(new ExportQuery(query.Sql, JsonSerializer.SerializeToNode(query.Parameters, ExportJson.Options)!.AsObject()));
            },
        },
        new()
        {
            Method = "GET", Path = One + "/missed", Id = "get_export_missed", Summary = "The time that the schedule has left out since the last interval that it started; null when there is none.",
            Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(MissedTime),
            Does = async (request, cancellationToken) =>
                ApiAnswer.Ok(new MissedTime(await request.ExportControl.MissedAsync(request.Name, cancellationToken).ConfigureAwait(false))),
        },
        new()
        {
            Method = "GET", Path = One + "/coverage", Id = "list_coverage", Summary = "The intervals that are at the destination, the newest first.",
            Need = ApiNeed.InProject(AccessRole.Viewer), Takes = [Limit, Cursor], Answer = typeof(ApiPage<CoverageView>),
            Does = CoverageAsync,
        },
        new()
        {
            Method = "PATCH", Path = One, Id = "edit_export", Summary = "Change a batch export by a JSON merge patch; its next run has it. A schedule is given whole.",
            Need = ApiNeed.InProject(AccessRole.Admin), Takes = [SkipCheck, DryRun], Body = typeof(ExportPatch), Answer = typeof(ChangedExport), Matches = true,
            Does = EditAsync,
        },
        new()
        {
            Method = "DELETE", Path = One, Id = "delete_export", Summary = "Delete a batch export and its schedule, and cancel what it has in progress; what was exported stays.",
            Need = ApiNeed.InProject(AccessRole.Admin), Answer = typeof(DeletedExport),
            Does = async (request, cancellationToken) =>
                ApiAnswer.Ok(new DeletedExport(request.Name, await request.Exports.DeleteAsync(request.Name, request.Actor, cancellationToken).ConfigureAwait(false))),
        },
        new()
        {
            Method = "POST", Path = One + "/duplicate", Id = "duplicate_export", Summary = "Make a batch export that is configured as another one; it begins with the interval that goes on now.",
            Need = ApiNeed.InProject(AccessRole.Admin), Body = typeof(DuplicateOrder), Answer = typeof(BatchExportView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var order = request.Body<DuplicateOrder>();
                return Created(request, await request.Exports.DuplicateAsync(
                    request.Name, order.Name, order.Destination, order.Paused, request.Actor, cancellationToken).ConfigureAwait(false));
            },
        },
        new()
        {
            Method = "POST", Path = One + "/pause", Id = "pause_export", Summary = "Stop the schedule; runs that were started go on.", Need = ApiNeed.InProject(AccessRole.Operator),
            Body = typeof(PauseOrder), BodyIsOptional = true, Answer = typeof(BatchExportView),
            Does = async (request, cancellationToken) => Ok(await request.Exports.PauseAsync(
                request.Name, request.BodyOr(new PauseOrder()).Note, request.Actor, cancellationToken).ConfigureAwait(false)),
        },
        new()
        {
            Method = "POST", Path = One + "/unpause", Id = "unpause_export", Summary = "Let the schedule go on, and export what was left out meanwhile when that is asked for.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(UnpauseOrder), BodyIsOptional = true, Answer = typeof(UnpausedExport),
            Does = async (request, cancellationToken) =>
            {
                var (export, backfill) = await request.ExportControl.UnpauseAsync(
                    request.Name, request.BodyOr(new UnpauseOrder()).CatchUp, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(new UnpausedExport(export, backfill), export.UpdatedAt);
            },
        },
        new()
        {
            Method = "POST", Path = One + "/plan", Id = "plan_export", Summary = "Say what a run would move: rows, bytes, files, columns, time. Nothing is written.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(GivenInterval), BodyIsOptional = true, Answer = typeof(ExportEstimate),
            Does = async (request, cancellationToken) =>
            {
                var given = request.BodyOr(new GivenInterval()).ToInterval();
                var export = await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
                var interval = given ?? export.Schedule.LastIntervalUntil(await request.Services.Runs.ClockAsync(cancellationToken).ConfigureAwait(false));
                return ApiAnswer.Ok(await request.Services.Estimator.EstimateAsync(export, interval, replace: true, cancellationToken).ConfigureAwait(false));
            },
        },
        new()
        {
            Method = "POST", Path = One + "/runs", Id = "start_run", Summary = "Export one data interval now: the last one that has ended, or the one given. An interval that was exported before is replaced.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(GivenInterval), BodyIsOptional = true, Answer = typeof(RunView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var given = request.BodyOr(new GivenInterval()).ToInterval();
                var export = await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
                var runId = await request.Services.RunControl.StartAsync(export, given, request.Actor, cancellationToken).ConfigureAwait(false);
                return await RunRoutes.StartedAsync(request, runId, cancellationToken).ConfigureAwait(false);
            },
        },
        new()
        {
            Method = "POST", Path = One + "/reset", Id = "reset_export", Summary = "Forget what was exported from a time on, and export it again, in place, as the export is configured now.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(ResetOrder), Answer = typeof(BackfillView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var order = request.Body<ResetOrder>();
                ModelCheck.Range("parallel", order.Parallel, 1, 100);
                return BackfillRoutes.Created(request, await request.ExportControl.ResetAsync(
                    request.Name, order.From, order.Parallel, request.Actor, cancellationToken).ConfigureAwait(false));
            },
        },
        new()
        {
            Method = "POST", Path = One + "/verify", Id = "verify_export", Summary = "Count rows and keys of what is at the destination again, and export again what changed.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(VerifyExportOrder), BodyIsOptional = true, Answer = typeof(StartedVerifications), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var order = request.BodyOr(new VerifyExportOrder());
                var export = await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
                var ids = await request.Services.Verifications.StartAllAsync(
                    export, order.Start, order.End, order.Compare ? VerificationKind.Compare : VerificationKind.Verify, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(new StartedVerifications(ids)) with { Status = 201 };
            },
        },
    ];

    private static ApiAnswer Ok(BatchExportView export) => ApiAnswer.Ok(export, export.UpdatedAt);

    private static ApiAnswer Created(ApiRequest request, BatchExportView export) =>
        ApiAnswer.Created(export, request.Url($"/projects/{request.Project}/exports/{export.Name}")) with { ETag = ApiAnswer.TagOf(export.UpdatedAt) };

    private static async Task<ApiAnswer> CoverageAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        var export = await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
        var before = request.Cursor<ApiCursor.Timed>();
        var covered = await request.Services.Runs.CoverageAsync(export.BatchExportId, before?.At, request.Limit + 1, cancellationToken).ConfigureAwait(false);
        return ApiAnswer.Page(covered, request.Limit, one => ApiCursor.Of(new ApiCursor.Timed(one.IntervalStart)));
    }

    private static async Task<ApiAnswer> EditAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        var patch = request.Body<ExportPatch>();
        var before = await request.Exports.GetAsync(request.Name, cancellationToken).ConfigureAwait(false);
        var node = JsonSerializer.SerializeToNode(before, ExportJson.Options)!;
        var edit = new BatchExportEdit
        {
            Model = patch.Model is null ? null : ApiBody.Of<SourceModel>(ApiBody.Merge(node["model"], patch.Model)) with { Interval = null },
            Format = patch.Format is null ? null : ApiBody.Of<FormatOptions>(ApiBody.Merge(node["format"], patch.Format)),
            Settings = patch.Settings is null ? null : ApiBody.Of<ExportSettings>(ApiBody.Merge(node["settings"], patch.Settings)),
            Schedule = patch.Schedule?.Given(),

            // What the patch was merged with is what it is for, whether the client says so or not.
            UnchangedSince = request.IfMatch ?? before.UpdatedAt,
        };
        ModelCheck.Unchanged(before.Name, before.UpdatedAt, edit.UnchangedSince);
        var edited = (before.ToBatchExport() with
        {
            Model = edit.Model ?? before.Model,
            Format = edit.Format ?? before.Format,
            Settings = edit.Settings ?? before.Settings,
            Schedule = edit.Schedule ?? before.Schedule,
        }).Validate();
        var changes = FieldChange.Between(
            node,
            JsonSerializer.SerializeToNode(
                before with { Model = edited.Model, Format = edited.Format, Settings = edited.Settings, Schedule = edited.Schedule }, ExportJson.Options));
        if (changes.Count == 0 || request.Get(DryRun))
        {
            return ApiAnswer.Ok(new ChangedExport(before, changes, Changed: false), before.UpdatedAt);
        }

        if (edit.Model is not null && !request.Get(SkipCheck))
        {
            await request.Services.Source.DescribeAsync(edited.Model, cancellationToken).ConfigureAwait(false);
        }

        var after = await request.Exports.EditAsync(before.Name, edit, request.Actor, cancellationToken).ConfigureAwait(false);
        return ApiAnswer.Ok(new ChangedExport(after, changes, Changed: true), after.UpdatedAt);
    }
}

/// <summary>A query with its parameters.</summary>
internal sealed record ExportQuery(string Sql, JsonObject Parameters);

/// <summary>The time that a schedule has left out.</summary>
internal sealed record MissedTime(DataInterval? Missed);

/// <summary>What is to be changed of a batch export: each is merged with what is there, a schedule takes its place.</summary>
internal sealed record ExportPatch
{
    public JsonObject? Model { get; init; }

    public JsonObject? Format { get; init; }

    public JsonObject? Settings { get; init; }

    public ExportSchedule? Schedule { get; init; }
}

/// <summary>A batch export that was changed, or would be.</summary>
internal sealed record ChangedExport(BatchExportView BatchExport, IReadOnlyList<FieldChange> Changes, bool Changed);

/// <summary>A batch export that was deleted.</summary>
internal sealed record DeletedExport(string Deleted, int Cancelled);

/// <summary>How a copy is made.</summary>
internal sealed record DuplicateOrder
{
    public required string Name { get; init; }

    public string? Destination { get; init; }

    public bool Paused { get; init; }
}

/// <summary>Why something is paused.</summary>
internal sealed record PauseOrder
{
    public string? Note { get; init; }
}

/// <summary>What becomes of what was left out.</summary>
internal sealed record UnpauseOrder
{
    public bool CatchUp { get; init; }
}

/// <summary>A batch export that goes on, and the backfill of what was left out.</summary>
internal sealed record UnpausedExport(BatchExportView BatchExport, BackfillView? Backfill);

/// <summary>An interval that is given whole or not at all.</summary>
internal sealed record GivenInterval
{
    public DateTimeOffset? Start { get; init; }

    public DateTimeOffset? End { get; init; }

    public DataInterval? ToInterval() => DataInterval.Given(Start, End);
}

/// <summary>From when on everything is exported again.</summary>
internal sealed record ResetOrder
{
    public required DateTimeOffset From { get; init; }

    public int Parallel { get; init; } = 1;
}

/// <summary>What is looked at again.</summary>
internal sealed record VerifyExportOrder
{
    public DateTimeOffset? Start { get; init; }

    public DateTimeOffset? End { get; init; }

    public bool Compare { get; init; }
}

/// <summary>Looks that were started.</summary>
internal sealed record StartedVerifications(IReadOnlyList<Guid> VerificationIds);
