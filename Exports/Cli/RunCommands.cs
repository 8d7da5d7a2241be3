using System.CommandLine;
using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter run</c>.</summary>
internal static class RunCommands
{
    public static Command All() => new CliCommand("run", "Batch export runs: one data interval each", "exporter run list").With(
        List(), Show(), Watching(), Logs(), Cancel(), Retry(), VerifyCommands.OfRun(), BadRowCommands.List(), BadRowCommands.Resend());

    /// <summary>Shows a run's progress until it has ended; the exit status says how.</summary>
    internal static async Task<int> WaitAsync(Session session, Guid runId, CancellationToken cancellationToken)
    {
        RunView? run = null;
        using var reading = new SourceReading(session, runId);
        try
        {
            await Watch.UntilEndedAsync(
                session.Output,
                async () =>
                {
                    run = await session.Runs.GetAsync(runId, cancellationToken).ConfigureAwait(false);
                    var progress = await session.Attempts.ProgressAsync(runId, cancellationToken).ConfigureAwait(false);
                    var ended = HasEnded(run.State);
                    var now = ended ? "" : await reading.TextAsync(cancellationToken).ConfigureAwait(false);
                    return new Progress(RunProgress.Text(run, progress) + now, progress?.Rows ?? run.ExportedRows, run.ExpectedRows, ended);
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            session.Output.Remark($"Stopped waiting; the run goes on: exporter run show {runId}");
            throw;
        }

        session.Output.Answer(run!, output => output.Line(
            $"Run {runId} is {run!.State}: {RunProgress.Text(run)}{BadText(run)}.{(run.Error is null ? "" : $" {run.Error}")}"));
        return run!.State == RunState.Completed.ToText() ? ExitStatus.Ok : ExitStatus.Failed;
    }

    internal static bool HasEnded(string? state) => state is null || RunStateText.Parse(state).IsFinal();

    // Completed must not hide what is not there as it was.
    private static string BadText(RunView run) =>
        (run.QuarantinedRows == 0 ? "" : $", {run.QuarantinedRows:N0} rows put aside (exporter run bad-rows {run.RunId})")
        + (run.NulledValues == 0 ? "" : $", {run.NulledValues:N0} values exported as null");

    private static CliCommand List()
    {
        var export = new Option<string>("--export") { Description = "Only of this batch export", HelpName = "name" };
        var state = Values.Word<RunState>("--state", "Only in this state");
        var limit = new Option<int>("--limit") { Description = "At most so many", HelpName = "number", DefaultValueFactory = _ => 50 };
        return new CliCommand(
            "list", "List runs, the newest first", "exporter run list --export events", "exporter run list --state failed --json").With(export, state, limit).Does(async (parse, session, cancellationToken) =>
            {
                var filter = new RunFilter { Project = session.Settings.Project, BatchExport = parse.GetValue(export), State = parse.GetValue(state)?.ToText(), Limit = parse.GetValue(limit) };
                ModelCheck.Range("limit", filter.Limit, 1, 100_000);
                if (filter.BatchExport is { } name)
                {
                    await session.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
                }

                var runs = await session.Runs.ListAsync(filter, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(runs, output => output.Table(
                    ["RUN", "EXPORT", "INTERVAL", "TRIGGER", "STATE", "SLICES", "ROWS", "BAD", "WRITTEN", "CREATED"],
                    runs.Select(run => (IReadOnlyList<string?>)
                    [
                        run.RunId.ToString(), run.BatchExport, run.Interval().ToString(), run.Trigger, run.State,
                        run.Slices is null ? "" : $"{run.SlicesCommitted}/{run.Slices}", Output.Text(run.ExportedRows),
                        Output.Text(run.QuarantinedRows + run.NulledValues), Output.Bytes(run.BytesWritten),
                        Output.Text(run.CreatedAt),
                    ]),
                    "There are no runs; see `exporter export run --help`."));
            });
    }

    private static CliCommand Show()
    {
        var id = Values.Id("run");
        return new CliCommand("show", "Show a run and its slices", "exporter run show 019ab3c4-...").With(id).Does(async (parse, session, cancellationToken) =>
        {
            var run = await session.Runs.GetAsync(parse.GetRequiredValue(id), cancellationToken).ConfigureAwait(false);
            var slices = await session.Runs.SlicesAsync(run.RunId, cancellationToken).ConfigureAwait(false);
            var progress = HasEnded(run.State) ? null : await session.Attempts.ProgressAsync(run.RunId, cancellationToken).ConfigureAwait(false);
            var looks = await session.Runs.VerificationsAsync(run.RunId, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(new { Run = run, Progress = progress, Slices = slices, Verifications = looks }, output =>
            {
                output.Details([.. Details(run), .. RunProgress.Details(progress)]);
                foreach (var look in looks)
                {
                    output.Line(VerifyCommands.Text(look));
                }

                if (slices.Count > 0)
                {
                    output.Line("");
                    output.Table(
                        ["SLICE", "STATE", "EXPECTED", "ROWS", "BAD", "AGREES", "BYTES", "ATTEMPT", "EPOCH", "FILE"],
                        slices.Select(slice => (IReadOnlyList<string?>)
                        [
                            Output.Text(slice.Slice), slice.State, Output.Text(slice.ExpectedRows), Output.Text(slice.Rows),
                            slice.Rows is null ? "" : Output.Text(slice.QuarantinedRows + slice.NulledValues),
                            slice.Agrees is { } agrees ? (agrees ? "yes" : "no") : "",
                            slice.Bytes is { } bytes ? Output.Bytes(bytes) : "", Output.Text(slice.Attempt), Output.Text(slice.Epoch), slice.File,
                        ]),
                        "");
                }
            });
        });
    }

    private static CliCommand Watching()
    {
        var id = Values.Id("run");
        return new CliCommand(
            "watch", "Show a run's progress until it has ended; the exit status says how", "exporter run watch 019ab3c4-...").With(id).Does(
                (parse, session, cancellationToken) => WaitAsync(session, parse.GetRequiredValue(id), cancellationToken));
    }

    private static CliCommand Logs()
    {
        var id = Values.Id("run");
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on until the run has ended" };
        return new CliCommand("logs", "Show a run's log", "exporter run logs 019ab3c4-... --follow").With(id, follow).Does(async (parse, session, cancellationToken) =>
        {
            var runId = parse.GetRequiredValue(id);
            var all = new List<LogLine>();
            for (long last = 0; ;)
            {
                // Asked before the log, so that what an ended run wrote last is still read.
                var status = await session.Engine.GetAsync(runId, cancellationToken).ConfigureAwait(false)
                    ?? throw new UserErrorException("run", $"There is no run {runId}.", "See `exporter run list`.");
                IReadOnlyList<LogLine> lines;
                while ((lines = await session.Engine.LogAsync(runId, last, cancellationToken: cancellationToken).ConfigureAwait(false)).Count > 0)
                {
                    last = lines[^1].LogId;
                    if (session.Output.IsJson)
                    {
                        all.AddRange(lines);
                    }
                    else
                    {
                        Print(session.Output, lines);
                    }
                }

                if (!parse.GetValue(follow) || status.State.IsFinal())
                {
                    session.Output.Answer(all, _ => { });
                    return;
                }

                await Task.Delay(500, cancellationToken).ConfigureAwait(false);
            }
        });
    }

    private static void Print(Output output, IEnumerable<LogLine> lines)
    {
        foreach (var line in lines)
        {
            output.Line($"{line.At:yyyy-MM-ddTHH:mm:ss.fffZ} {line.Level} {(line.Step is null ? "" : $"[{line.Step}] ")}{line.Message}");
        }
    }

    private static CliCommand Cancel()
    {
        var id = Values.Id("run");
        return new CliCommand("cancel", "Ask a run to end; what it has committed stays", "exporter run cancel 019ab3c4-...").With(id).Does(async (parse, session, cancellationToken) =>
        {
            var runId = parse.GetRequiredValue(id);
            if (!await session.Control.CancelAsync(runId, session.Actor, cancellationToken).ConfigureAwait(false))
            {
                throw new UserErrorException("run", $"Run {runId} has ended already.", $"See `exporter run show {runId}`.");
            }

            await AnswerAsync(session, runId, "is asked to end", cancellationToken).ConfigureAwait(false);
        });
    }

    private static CliCommand Retry()
    {
        var id = Values.Id("run");
        return new CliCommand(
            "retry", "Let a run that failed, was cancelled or timed out go on from its committed slices", "exporter run retry 019ab3c4-...").With(id).Does(async (parse, session, cancellationToken) =>
            {
                var runId = parse.GetRequiredValue(id);
                if (!await session.Control.RetryAsync(runId, session.Actor, cancellationToken).ConfigureAwait(false))
                {
                    throw new UserErrorException(
                        "run", $"Run {runId} has not failed, nor was it cancelled.", $"See `exporter run show {runId}`.");
                }

                await AnswerAsync(session, runId, "goes on", cancellationToken).ConfigureAwait(false);
            });
    }

    private static async Task AnswerAsync(Session session, Guid runId, string what, CancellationToken cancellationToken)
    {
        var run = await session.Runs.GetAsync(runId, cancellationToken).ConfigureAwait(false);
        session.Output.Answer(run, output => output.Line($"Run {runId} {what}."));
    }

    private static IEnumerable<(string Name, string? Value)> Details(RunView run) =>
    [
        ("run", run.RunId.ToString()),
        ("export", run.BatchExport),
        ("destination", run.Destination),
        ("interval", run.Interval().ToString()),
        ("trigger", run.Trigger),
        ("backfill", run.BackfillId?.ToString()),
        ("state", run.Phase is { } phase ? $"{run.State}, {phase}" : run.State),
        ("error", run.Error),
        ("slices", run.Slices is null ? "not planned yet" : $"{run.SlicesCommitted:N0} of {run.Slices:N0} committed"),
        ("rows", run.ExpectedRows is null ? null : $"{run.ExportedRows:N0} of {run.ExpectedRows:N0}"),
        ("put aside", run.QuarantinedRows == 0 ? null : $"{run.QuarantinedRows:N0} rows; see exporter run bad-rows {run.RunId}"),
        ("set to null", run.NulledValues == 0 ? null : $"{run.NulledValues:N0} values"),
        ("late rows", Output.Text(run.LateRows)),
        ("split", run.SlicesSplit == 0 ? null : $"{run.SlicesSplit:N0} slices"),
        ("exported again", run.SlicesExportedAgain == 0 ? null : $"{run.SlicesExportedAgain:N0} slices"),
        ("verified", Output.Text(run.VerifiedAt)),
        ("written", Output.Bytes(run.BytesWritten)),
        ("from source", Output.Bytes(run.SourceBytes)),
        ("read in all", run.ReadBytes is { } read && read != run.SourceBytes ? Output.Bytes(read) : null),
        ("sent in all", run.SentBytes is { } sent && sent != run.BytesWritten ? Output.Bytes(sent) : null),
        ("planning", run.PlanningSeconds is { } planning ? $"{planning:0.0} s, {run.PlanningReadRows:N0} rows read" : null),
        ("sent again", Output.Bytes(run.ResentBytes)),
        ("epoch", Output.Text(run.Epoch)),
        ("worker", run.WorkerId?.ToString()),
        ("created", Output.Text(run.CreatedAt)),
        ("started", Output.Text(run.StartedAt)),
        ("finished", Output.Text(run.FinishedAt)),
    ];
}
