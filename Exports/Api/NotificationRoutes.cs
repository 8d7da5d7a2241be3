using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>What is wrong, and who is told.</summary>
internal static class NotificationRoutes
{
    private const string All = "/projects/{project}/notification-targets";
    private const string One = All + "/{name}";

    private static readonly ApiParameter<bool> Over = Truth("all", "Whether those that are over are listed too. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = "/projects/{project}/troubles", Id = "list_troubles", Summary = "List exports that are failing or late, since when and why, the newest first.",
            Need = ApiNeed.InProject(AccessRole.Viewer), Takes = [Over, Limit], Answer = typeof(ApiPage<TroubleView>),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(new ApiPage<TroubleView>(
                await request.Notifications.TroublesAsync(!request.Get(Over), request.Limit, cancellationToken).ConfigureAwait(false), null)),
        },
        new()
        {
            Method = "GET", Path = "/projects/{project}/notifications", Id = "list_notifications", Summary = "List what was told, the newest first.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Takes = [Limit], Answer = typeof(ApiPage<NotificationView>),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(new ApiPage<NotificationView>(
                await request.Notifications.SentAsync(request.Limit, cancellationToken).ConfigureAwait(false), null)),
        },
        new()
        {
            Method = "GET", Path = All, Id = "list_notification_targets", Summary = "List who is told of what, by name, without secrets.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Answer = typeof(ApiPage<NotificationTargetView>),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(new ApiPage<NotificationTargetView>(
                await request.Notifications.ListAsync(cancellationToken).ConfigureAwait(false), null)),
        },
        new()
        {
            Method = "POST", Path = All, Id = "create_notification_target", Summary = "Tell somebody by mail or by signed HTTP messages; a signing secret that is not given is made, and answered once.",
            Need = ApiNeed.InProject(AccessRole.Admin), Body = typeof(NotificationOrder), Answer = typeof(CreatedNotificationTarget), Status = 201, ShowsSecret = true,
            Does = CreateAsync,
        },
        new()
        {
            Method = "GET", Path = One, Id = "get_notification_target", Summary = "Who is told, without secrets.", Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(NotificationTargetView),
            Does = async (request, cancellationToken) => ApiAnswer.Ok(await request.Notifications.GetAsync(request.Name, cancellationToken).ConfigureAwait(false)),
        },
        new()
        {
            Method = "POST", Path = One + "/test", Id = "test_notification_target", Summary = "Send a trial now.", Need = ApiNeed.InProject(AccessRole.Operator), Status = 204, RepeatsItself = true,
            Does = async (request, cancellationToken) =>
            {
                var target = await request.Notifications.LoadAsync(request.Name, cancellationToken).ConfigureAwait(false);
                await request.Services.Notifier.TryAsync(target, request.Project, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
        new()
        {
            Method = "DELETE", Path = One, Id = "delete_notification_target", Summary = "Tell somebody no more.", Need = ApiNeed.InProject(AccessRole.Admin), Status = 204,
            Does = async (request, cancellationToken) =>
            {
                await request.Notifications.DeleteAsync(request.Name, request.Actor, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Done;
            },
        },
    ];

    private static async Task<ApiAnswer> CreateAsync(ApiRequest request, CancellationToken cancellationToken)
    {
        var order = request.Body<NotificationOrder>();
        foreach (var export in order.BatchExports)
        {
            await request.Exports.GetAsync(export, cancellationToken).ConfigureAwait(false);
        }

        var secret = order.Url is null ? null : order.Secret ?? WebhookSignature.NewSecret();
        var created = await request.Notifications.CreateAsync(
            new NotificationTarget { Name = order.Name, Url = order.Url, Secret = secret, Email = order.Email, Events = order.Events, BatchExports = order.BatchExports },
            request.Actor,
            cancellationToken).ConfigureAwait(false);
        return ApiAnswer.Created(
            new CreatedNotificationTarget(created, order.Secret is null ? secret : null), request.Url($"/projects/{request.Project}/notification-targets/{created.Name}"));
    }
}

/// <summary>Who is to be told.</summary>
internal sealed record NotificationOrder
{
    public required string Name { get; init; }

    public string? Url { get; init; }

    public string? Secret { get; init; }

    public IReadOnlyList<string> Email { get; init; } = [];

    public IReadOnlyList<NotificationEvent> Events { get; init; } = Enum.GetValues<NotificationEvent>();

    public IReadOnlyList<string> BatchExports { get; init; } = [];
}

/// <summary>Who is told from now on, and what messages are signed with when that was made here.</summary>
internal sealed record CreatedNotificationTarget(NotificationTargetView Target, string? Secret);
