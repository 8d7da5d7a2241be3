using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Messages that a webhook refused for good.</summary>
internal static class DeadLetterRoutes
{
    private const string Path = "/projects/{project}/dead-letters";

    private static readonly ApiParameter<string> Export = Text("export", "Only of this batch export.");
    private static readonly ApiParameter<Guid?> Run = Uuid("run_id", "Only of this run.");
    private static readonly ApiParameter<bool> Resent = Truth("all", "Whether those that were sent again are listed too. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = Path, Id = "list_dead_letters", Summary = "List dead letters with the reason, the oldest first.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Takes = [Export, Run, Resent, Limit, Cursor], Answer = typeof(ApiPage<DeadLetterView>),
            Does = async (request, cancellationToken) =>
            {
                var letters = await request.Services.Deliveries.ListAsync(
                    new DeadLetterFilter
                    {
                        Project = request.Project,
                        BatchExport = request.Get(Export),
                        RunId = request.Get(Run),
                        All = request.Get(Resent),
                        After = request.Cursor<ListPlace>(),
                        Limit = request.Limit + 1,
                    },
                    cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(letters, request.Limit, one => ApiCursor.Of(new ListPlace(one.CreatedAt, one.DeadLetterId)));
            },
        },
        new()
        {
            Method = "POST", Path = Path + "/resend", Id = "resend_dead_letters", Summary = "Send all pending dead letters of a batch export again, under the ids that they had; the first that is refused again ends it.",
            Need = ApiNeed.InProject(AccessRole.Operator), Body = typeof(ResendOrder), Answer = typeof(ResentLetters), RepeatsItself = true,
            Does = async (request, cancellationToken) =>
            {
                var name = request.Body<ResendOrder>().Export;
                await request.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Ok(new ResentLetters(await request.Services.Deliveries.ResendAllAsync(request.Project, name, cancellationToken).ConfigureAwait(false)));
            },
        },
        new()
        {
            Method = "POST", Path = Path + "/{id}/resend", Id = "resend_dead_letter", Summary = "Send a dead letter again, under the id that it had.", Need = ApiNeed.InProject(AccessRole.Operator),
            Answer = typeof(DeadLetterView), RepeatsItself = true,
            Does = async (request, cancellationToken) =>
            {
                var letter = await request.Services.Deliveries.GetAsync(request.Id, request.Project, cancellationToken).ConfigureAwait(false);
                return await request.Services.Deliveries.ResendAsync(letter.DeadLetterId, cancellationToken).ConfigureAwait(false)
                    ? ApiAnswer.Ok(await request.Services.Deliveries.GetAsync(request.Id, request.Project, cancellationToken).ConfigureAwait(false))
                    : throw new UserErrorException("id", $"Dead letter {request.Id} was sent again already.", "Nothing is left to be done.", reason: UserErrorReason.Conflict);
            },
        },
        new()
        {
            Method = "DELETE", Path = Path + "/{id}", Id = "delete_dead_letter", Summary = "Throw a dead letter away; its rows will not be delivered.", Need = ApiNeed.InProject(AccessRole.Operator), Status = 204,
            Does = async (request, cancellationToken) =>
            {
                var letter = await request.Services.Deliveries.GetAsync(request.Id, request.Project, cancellationToken).ConfigureAwait(false);
                return await request.Services.Deliveries.DeleteAsync(letter.DeadLetterId, cancellationToken).ConfigureAwait(false) ? ApiAnswer.Done : throw request.Elsewhere("dead letter");
            },
        },
    ];
}

/// <summary>Whose dead letters are sent again.</summary>
internal sealed record ResendOrder
{
    public required string Export { get; init; }
}

/// <summary>How many were sent again.</summary>
internal sealed record ResentLetters(int Resent);
