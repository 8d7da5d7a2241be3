using System.Text.Json.Nodes;
using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using static Exporter.Exports.Api.ApiParameters;

namespace Exporter.Exports.Api;

/// <summary>Batch export runs: one data interval each.</summary>
internal static class RunRoutes
{
    private const string All = "/projects/{project}/runs";
    private const string One = All + "/{id}";

    private static readonly ApiParameter<string> Export = Text("export", "Only of this batch export.");
    private static readonly ApiParameter<RunState?> State = Word<RunState>("state", "Only in this state.");
    private static readonly ApiParameter<Guid?> OfBackfill = Uuid("backfill_id", "Only of this backfill.");
    private static readonly ApiParameter<long?> AfterLine = Id("after", "Only lines behind this log_id. Default 0.");
    private static readonly ApiParameter<int?> Lines = Number("limit", "How many at most. Default 1000; from 1 to 1000.", 1, 1000) with { Usual = 1000 };
    private static readonly ApiParameter<bool> WithRows = Truth("rows", "Whether the rows themselves are answered, decrypted; needs the role operator. Default false.");

    public static IEnumerable<ApiOperation> Operations { get; } =
    [
        new()
        {
            Method = "GET", Path = All, Id = "list_runs", Summary = "List runs, the newest first.", Need = ApiNeed.InProject(AccessRole.Viewer),
            Takes = [Export, State, OfBackfill, Limit, Cursor], Answer = typeof(ApiPage<RunView>),
            Does = async (request, cancellationToken) =>
            {
                if (request.Get(Export) is { } name)
                {
                    await request.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
                }

                var runs = await request.Services.Runs.ListAsync(
                    new RunFilter
                    {
                        Project = request.Project,
                        BatchExport = request.Get(Export),
                        State = request.Get(State)?.ToText(),
                        BackfillId = request.Get(OfBackfill),
                        After = request.Cursor<ListPlace>(),
                        Limit = request.Limit + 1,
                    },
                    cancellationToken).ConfigureAwait(false);
                return ApiAnswer.Page(runs, request.Limit, run => ApiCursor.Of(new ListPlace(run.CreatedAt, run.RunId)));
            },
        },
        new()
        {
            Method = "GET", Path = One, Id = "get_run", Summary = "A run, with how far it is while it goes on.", Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(RunDetail),
            Does = async (request, cancellationToken) =>
                ApiAnswer.Ok(await DetailAsync(request, await request.RunAsync(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false)),
        },
        new()
        {
            Method = "GET", Path = One + "/events", Id = "watch_run", Summary = "How far a run is, as server-sent events: progress when something has changed, end when it has ended.",
            Need = ApiNeed.InProject(AccessRole.Viewer), Answer = typeof(RunDetail), AnswerType = "text/event-stream",
            Does = async (request, cancellationToken) =>
            {
                await request.RunAsync(cancellationToken).ConfigureAwait(false);
                return new ApiAnswer { Status = 200, Streams = http => RunEvents.WriteAsync(http, token => CurrentAsync(request, token)) };
            },
        },
        Part("slices", "list_slices", "The slices of a run, in order.", typeof(ApiPage<SliceView>), [], async (request, run, cancellationToken) =>
            Whole(await request.Services.Runs.SlicesAsync(run.RunId, cancellationToken).ConfigureAwait(false))),
        Part("attempts", "list_attempts", "All attempts of a run's slices, in order.", typeof(ApiPage<AttemptView>), [], async (request, run, cancellationToken) =>
            Whole(await request.Services.Attempts.ListAsync(run.RunId, cancellationToken).ConfigureAwait(false))),
        Part("verifications", "list_verifications", "The later looks at a run, the newest first.", typeof(ApiPage<VerificationView>), [], async (request, run, cancellationToken) =>
            Whole(await request.Services.Runs.VerificationsAsync(run.RunId, cancellationToken).ConfigureAwait(false))),
        Part("log", "list_log", "A run's log, in order; the page is full when there may be more behind its last log_id.", typeof(ApiPage<LogLine>), [AfterLine, Lines], async (request, run, cancellationToken) =>
            Whole(await request.Services.Engine.LogAsync(run.RunId, request.Get(AfterLine) ?? 0, request.Get(Lines)!.Value, cancellationToken).ConfigureAwait(false))),
        Part("bad-rows", "list_bad_rows", "The rows of a run that its destination could not hold and that were put aside.", typeof(ApiPage<BadRowAnswer>), [WithRows, Lines], BadRowsAsync),
        new()
        {
            Method = "POST", Path = One + "/cancel", Id = "cancel_run", Summary = "Ask a run, or a later look at one by its verification_id, to end; what it has committed stays.",
            Need = ApiNeed.InProject(AccessRole.Operator), Answer = typeof(RunView),
            Does = async (request, cancellationToken) =>
            {
                var run = await request.Services.RunControl.RunOfAsync(request.Id, cancellationToken).ConfigureAwait(false);
                if (run.Project != request.Project)
                {
                    throw request.Elsewhere("run");
                }

                return await request.Services.RunControl.CancelAsync(request.Id, request.Actor, cancellationToken).ConfigureAwait(false)
                    ? ApiAnswer.Ok(await request.Services.Runs.GetAsync(run.RunId, cancellationToken).ConfigureAwait(false))
                    : throw new UserErrorException("run", $"Run {request.Id} has ended already.", "Nothing is left to be cancelled.", reason: UserErrorReason.Conflict);
            },
        },
        Steer("retry", "retry_run", "Let a run that failed, was cancelled or timed out go on from its committed slices.", async (request, run, cancellationToken) =>
            await request.Services.RunControl.RetryAsync(run.RunId, request.Actor, cancellationToken).ConfigureAwait(false)
                ? ApiAnswer.Ok(await request.Services.Runs.GetAsync(run.RunId, cancellationToken).ConfigureAwait(false))
                : throw new UserErrorException("run", $"Run {run.RunId} has not failed, nor was it cancelled.", "Only such a run can go on.", reason: UserErrorReason.Conflict)),
        Steer("rerun", "rerun", "Export the interval of a run again, in place, in a run of its own, as the export is configured now.", async (request, run, cancellationToken) =>
        {
            var export = await request.Exports.GetAsync(run.BatchExport, cancellationToken).ConfigureAwait(false);
            var again = await request.Services.RunControl.StartAsync(export, run.Interval(), request.Actor, cancellationToken).ConfigureAwait(false);
            return await StartedAsync(request, again, cancellationToken).ConfigureAwait(false);
        }) with { Status = 201 },
        Steer("verify", "verify_run", "Count a completed run's rows and keys at the source again, and export again the slices that changed.", (request, run, cancellationToken) => LookAsync(
            request, run, request.BodyOr(new VerifyOrder()).Compare ? VerificationKind.Compare : VerificationKind.Verify, cancellationToken))
            with { Status = 201, Answer = typeof(VerificationView), Body = typeof(VerifyOrder), BodyIsOptional = true },
        Steer("resend", "resend_bad_rows", "Export again the slices of a run that have rows which were put aside.", (request, run, cancellationToken) =>
            LookAsync(request, run, VerificationKind.Resend, cancellationToken)) with { Status = 201, Answer = typeof(VerificationView) },
    ];

    /// <summary>The answer about a run that was started.</summary>
    public static async Task<ApiAnswer> StartedAsync(ApiRequest request, Guid runId, CancellationToken cancellationToken) => ApiAnswer.Created(
        await request.Services.Runs.GetAsync(runId, cancellationToken).ConfigureAwait(false), request.Url($"/projects/{request.Project}/runs/{runId}"));

    private static async Task<RunDetail> CurrentAsync(ApiRequest request, CancellationToken cancellationToken) =>
        await DetailAsync(request, await request.Services.Runs.GetAsync(request.Id, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);

    private static async Task<RunDetail> DetailAsync(ApiRequest request, RunView run, CancellationToken cancellationToken) => new(
        run, run.HasEnded() ? null : await request.Services.Attempts.ProgressAsync(run.RunId, cancellationToken).ConfigureAwait(false));

    private static async Task<ApiAnswer> BadRowsAsync(ApiRequest request, RunView run, CancellationToken cancellationToken)
    {
        var limit = request.Get(Lines)!.Value;
        var rows = request.Get(WithRows);
        if (rows && !request.Caller.May(AccessRole.Operator, request.Project))
        {
            throw new ApiProblemException(ApiProblem.Forbidden(ApiNeed.InProject(AccessRole.Operator)));
        }

        var bad = await request.Services.Runs.BadRowsAsync(run.RunId, limit, cancellationToken).ConfigureAwait(false);
        var contents = rows ? await request.Services.Quarantine.RowsAsync(run.RunId, limit, cancellationToken).ConfigureAwait(false) : [];
        return Whole<BadRowAnswer>([.. bad.Select((row, place) => new BadRowAnswer(row, contents.ElementAtOrDefault(place)))]);
    }

    private static async Task<ApiAnswer> LookAsync(ApiRequest request, RunView run, VerificationKind kind, CancellationToken cancellationToken)
    {
        var id = await request.Services.Verifications.StartAsync(run.RunId, kind, request.Actor, cancellationToken).ConfigureAwait(false);
        return ApiAnswer.Created(
            await request.Services.Verifications.GetAsync(id, cancellationToken).ConfigureAwait(false), request.Url($"/projects/{request.Project}/runs/{run.RunId}/verifications"));
    }

    private static ApiAnswer Whole<T>(IReadOnlyList<T> items) => ApiAnswer.Ok(new ApiPage<T>(items, null));

    private static ApiOperation Part(
        string path, string id, string summary, Type answer, IReadOnlyList<ApiParameter> takes, Func<ApiRequest, RunView, CancellationToken, Task<ApiAnswer>> does) => new()
        {
            Method = "GET", Path = $"{One}/{path}", Id = id, Summary = summary, Need = ApiNeed.InProject(AccessRole.Viewer), Takes = takes, Answer = answer,
            Does = async (request, cancellationToken) => await does(request, await request.RunAsync(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false),
        };

    private static ApiOperation Steer(string path, string id, string summary, Func<ApiRequest, RunView, CancellationToken, Task<ApiAnswer>> does) => new()
    {
        Method = "POST", Path = $"{One}/{path}", Id = id, Summary = summary, Need = ApiNeed.InProject(AccessRole.Operator), Answer = typeof(RunView),
        Does = async (request, cancellationToken) => await does(request, await request.RunAsync(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false),
    };
}

/// <summary>A run, and how far it is; null when it has ended.</summary>
internal sealed record RunDetail(RunView Run, ProgressView? Progress);

/// <summary>A row that was put aside, and what is in it when that was asked for.</summary>
internal sealed record BadRowAnswer(BadRowView BadRow, JsonObject? Row);

/// <summary>Whether a look only compares.</summary>
internal sealed record VerifyOrder
{
    public bool Compare { get; init; }
}
