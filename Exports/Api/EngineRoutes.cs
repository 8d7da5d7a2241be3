using Exporter.Exports.Model;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>The engine below: of all projects, so a role in all of them is needed.</summary>
internal static class EngineRoutes
{
    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = "/engine/queues", Id = "list_queues", Summary = "Queues with unfinished runs or limits: depth and age.", Need = ApiNeed.InAll(AccessRole.Viewer), Answer = typeof(ApiPage<QueueView>),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(new ApiPage<QueueView>(await request.Services.EngineViews.QueuesAsync(cancellationToken).ConfigureAwait(false), null)),
        },
        new()
        {
            Method = "GET", Path = "/engine/workers", Id = "list_workers", Summary = "Workers with slots and last sign of life, those that live first; the latest 200.", Need = ApiNeed.InAll(AccessRole.Viewer), Answer = typeof(ApiPage<WorkerView>),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(new ApiPage<WorkerView>(await request.Services.EngineViews.WorkersAsync(200, cancellationToken).ConfigureAwait(false), null)),
        },
        new()
        {
            Method = "GET", Path = "/engine/schedules", Id = "list_schedules", Summary = "Schedules with their next occurrence, and how late they are.", Need = ApiNeed.InAll(AccessRole.Viewer),
            Takes = [Limit, Cursor], Answer = typeof(ApiPage<EngineScheduleView>),
            Does = async (request, cancellationToken) =>
            {
                var schedules = await request.Services.EngineViews.SchedulesAsync(request.Cursor<ApiCursor.Named>()?.Name, request.Limit + 1, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(schedules, request.Limit, one => ApiCursor.Of(new ApiCursor.Named(one.ScheduleId)));
            },
        },
    ];
}
