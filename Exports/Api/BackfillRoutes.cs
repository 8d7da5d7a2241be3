using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Backfills: a range of the past, one run per interval.</summary>
internal static class BackfillRoutes
{
    private const string All = "/projects/{project}/backfills";
    private const string One = All + "/{id}";

    private static readonly ApiParameter<string> Export = Text("export", "Only of this batch export.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = All, Id = "list_backfills", Summary = "List backfills, the newest first.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Takes = [Export, Limit, Cursor], Answer = typeof(ApiPage<BackfillView>),
            Does = async (request, cancellationToken) =>
            {
                if (request.Get(Export) is { } name)
                {
                    await request.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
                }

                var backfills = await request.Services.Backfills.ListAsync(
                    new BackfillFilter { Project = request.Project, BatchExport = request.Get(Export), After = request.Cursor<ListPlace>(), Limit = request.Limit + 1 },
                    cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(backfills, request.Limit, one => ApiCursor.Of(new ListPlace(one.CreatedAt, one.BackfillId)));
            },
        },
        new()
        {
            Method = "POST", Path = All, Id = "create_backfill", Summary = "Start a backfill; without start from the earliest row, without end to the last boundary.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(BackfillOrder), Answer = typeof(BackfillView), Status = 201,
            Does = async (request, cancellationToken) =>
            {
                var (order, export, range) = await ReadAsync(request, cancellationToken).ConfigureAwait(false);
                var backfill = new Backfill
                {
                    BatchExportId = export.BatchExportId, Range = range, Parallel = order.Parallel, Replace = order.Replace, NewestFirst = order.NewestFirst,
                };
                return Created(request, await request.Services.Backfills.CreateAsync(backfill, export, request.Actor, cancellationToken).ConfigureAwait(false));
            },
        },
        new()
        {
            Method = "POST", Path = All + "/plan", Id = "plan_backfill", Summary = "Say what a backfill would move: runs, rows, bytes, files, time. Nothing is written.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(BackfillOrder), Answer = typeof(ExportEstimate),
            Does = async (request, cancellationToken) =>
            {
                var (order, export, range) = await ReadAsync(request, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(await request.Services.Estimator.EstimateAsync(export, range, order.Replace, cancellationToken).ConfigureAwait(false));
            },
        },
        new()
        {
            Method = "GET", Path = One, Id = "get_backfill", Summary = "A backfill, with how far its runs are; they are listed by backfill_id.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Answer = typeof(BackfillDetail),
            Does = async (request, cancellationToken) =>
            {
                var backfill = await request.BackfillAsync(cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(new BackfillDetail(backfill, await request.Services.Backfills.ProgressAsync(backfill.BackfillId, cancellationToken).ConfigureAwait(false)));
            },
        },
        Steer("pause", "Let a backfill start nothing more until it is resumed; runs that it has started go on.", "has ended already", (backfills, id, actor, cancellationToken) =>
            backfills.PauseAsync(id, actor, cancellationToken)),
        Steer("resume", "Let a paused backfill go on.", "is not paused", (backfills, id, actor, cancellationToken) => backfills.ResumeAsync(id, actor, cancellationToken)),
        Steer("cancel", "Ask a backfill and its runs to end; what they have exported stays.", "has ended already", (backfills, id, actor, cancellationToken) =>
            backfills.CancelAsync(id, actor, cancellationToken)),
    ];

    public static ApiAnswer Created(ApiRequest request, BackfillView backfill) =>
        ApiAnswer.Created(backfill, request.Url($"/projects/{request.Project}/backfills/{backfill.BackfillId}"));

    private static async Task<(BackfillOrder Order, BatchExportView Export, DataInterval Range)> ReadAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        var order = request.Body<BackfillOrder>();
        ModelCheck.Range("parallel", order.Parallel, 1, 100);
        var range = (order.Start, order.End) is ({ } from, { } to) ? DataInterval.Between(from, to) : null;
        var export = await request.Exports.GetAsync(order.Export, cancellationToken).ConfigureAwait(false);
        return (order, export, range ?? await request.Services.Estimator.RangeAsync(export, order.Start, order.End, cancellationToken).ConfigureAwait(false));
    }

    private static ApiOperation Steer(
        string verb, string summary, string refusal, Func<BackfillStore, Guid, string, CancellationToken, Task<bool>> steer) => new()
        {
            Method = "POST", Path = $"{One}/{verb}", Id = verb + "_backfill", Summary = summary, Need = ApiNeed.InProject(AccessRole.Operator), Answer = typeof(BackfillView),
            Does = async (request, cancellationToken) =>
            {
                var backfill = await request.BackfillAsync(cancellationToken).ConfigureAwait(false);
                return await steer(request.Services.Backfills, backfill.BackfillId, request.Actor, cancellationToken).ConfigureAwait(false)
                    ? ApiAnswer.Ok(await request.Services.Backfills.GetAsync(backfill.BackfillId, cancellationToken).ConfigureAwait(false))
                    : throw new UserErrorException("backfill", $"Backfill {backfill.BackfillId} {refusal}.", "Look at its state.", reason: UserErrorReason.Conflict);
            },
        };
}

/// <summary>What is exported of the past.</summary>
internal sealed record BackfillOrder
{
    public required string Export { get; init; }

    public DateTimeOffset? Start { get; init; }

    public DateTimeOffset? End { get; init; }

    public int Parallel { get; init; } = 1;

    public bool Replace { get; init; }

    public bool NewestFirst { get; init; }
}

/// <summary>A backfill, and how far its runs are.</summary>
internal sealed record BackfillDetail(BackfillView Backfill, BackfillProgress Progress);
