using System.CommandLine;
using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter backfill</c>.</summary>
internal static class BackfillCommands
{
    public static Command All() => new CliCommand("backfill", "Export a range of the past, one run per interval, in order", "exporter backfill list")
        .With(Create(), PlanCommands.OfBackfill(), List(), Show(), Pause(), Resume(), Cancel());

    private static CliCommand Create()
    {
        var export = new Argument<string>("export") { Description = "The batch export's name" };
        var start = Values.Time("--start", "A boundary of the schedule. Default the one before the earliest row");
        var end = Values.Time("--end", "A boundary of the schedule, not after the present");
        end.Required = true;
        var parallel = new Option<int>("--parallel") { Description = "Runs at once, from 1 to 100", HelpName = "number", DefaultValueFactory = _ => 1 };
        var replace = new Option<bool>("--replace") { Description = "Export intervals again that are covered; otherwise they are left out" };
        var newest = new Option<bool>("--newest-first") { Description = "Begin with the latest interval; otherwise with the oldest" };
        var wait = new Option<bool>("--wait") { Description = "Wait until it has ended; the exit status says how" };
        return new CliCommand(
            "create",
            "Start a backfill",
            "exporter backfill create events --start 2026-01-01 --end 2026-02-01 --wait",
            "exporter backfill create events --end 2026-02-01 --parallel 3",
            "exporter backfill create events --start 2026-01-01T06:00Z --end 2026-01-01T12:00Z --parallel 3 --replace")
            .With(export, start, end, parallel, replace, newest, wait).Does(async (parse, session, cancellationToken) =>
            {
                // What can be told without a server is told first.
                var range = (parse.GetValue(start), parse.GetValue(end)) is ({ } from, { } to) ? DataInterval.Between(from, to) : null;
                ModelCheck.Range("parallel", parse.GetValue(parallel), 1, 100);
                var one = await session.Exports.GetAsync(parse.GetRequiredValue(export), cancellationToken).ConfigureAwait(false);
                range ??= await PlanCommands.RangeAsync(session, one, parse.GetValue(start), parse.GetValue(end), cancellationToken).ConfigureAwait(false);
                var backfill = new Backfill
                {
                    BatchExportId = one.BatchExportId,
                    Range = range,
                    Parallel = parse.GetValue(parallel),
                    Replace = parse.GetValue(replace),
                    NewestFirst = parse.GetValue(newest),
                };
                var created = await session.Backfills.CreateAsync(backfill, one, session.Actor, cancellationToken).ConfigureAwait(false);
                if (parse.GetValue(wait))
                {
                    return await WaitAsync(session, created.BackfillId, cancellationToken).ConfigureAwait(false);
                }

                session.Output.Answer(created, output => output.Line(
                    $"Started backfill {created.BackfillId} of {created.Intervals:N0} intervals; see `exporter backfill show {created.BackfillId}`."));
                return ExitStatus.Ok;
            });
    }

    private static async Task<int> WaitAsync(Session session, Guid id, CancellationToken cancellationToken)
    {
        BackfillView? backfill = null;
        var text = "";
        try
        {
            await Watch.UntilEndedAsync(
                session.Output,
                async () =>
                {
                    backfill = await session.Backfills.GetAsync(id, cancellationToken).ConfigureAwait(false);
                    var progress = await session.Backfills.ProgressAsync(id, cancellationToken).ConfigureAwait(false);
                    text = $"{backfill.IntervalsCompleted:N0} of {backfill.Intervals:N0} intervals, {progress.Committed:N0} slices, {progress.ExportedRows:N0} rows";

                    // Each interval counts the same; the one in progress by its rows.
                    var part = progress.ExpectedRows == 0 ? 0 : (progress.ExportedRows * 1000 / progress.ExpectedRows * backfill.IntervalsStarted) - (backfill.IntervalsCompleted * 1000L);
                    var ended = RunCommands.HasEnded(backfill.State);
                    return new Progress(text, (backfill.IntervalsCompleted * 1000L) + Math.Clamp(part, 0, 999), backfill.Intervals * 1000L, ended);
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            session.Output.Remark($"Stopped waiting; the backfill goes on: exporter backfill show {id}");
            throw;
        }

        session.Output.Answer(backfill!, output => output.Line($"Backfill {id} is {backfill!.State}: {text}.{(backfill.Error is null ? "" : $" {backfill.Error}")}"));
        return backfill!.State == RunState.Completed.ToText() ? ExitStatus.Ok : ExitStatus.Failed;
    }

    private static CliCommand List()
    {
        var export = new Option<string>("--export") { Description = "Only of this batch export", HelpName = "name" };
        var limit = new Option<int>("--limit") { Description = "At most so many", HelpName = "number", DefaultValueFactory = _ => 50 };
        return new CliCommand("list", "List backfills, the newest first", "exporter backfill list --export events").With(export, limit).Does(async (parse, session, cancellationToken) =>
        {
            var name = parse.GetValue(export);
            ModelCheck.Range("limit", parse.GetValue(limit), 1, 100_000);
            if (name is not null)
            {
                await session.Exports.GetAsync(name, cancellationToken).ConfigureAwait(false);
            }

            var backfills = await session.Backfills.ListAsync(
                new BackfillFilter { Project = session.Settings.Project, BatchExport = name, Limit = parse.GetValue(limit) }, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(backfills, output => output.Table(
                ["BACKFILL", "EXPORT", "RANGE", "STATE", "INTERVALS", "CREATED", "BY"],
                backfills.Select(one => (IReadOnlyList<string?>)
                [
                    one.BackfillId.ToString(), one.BatchExport, new DataInterval(one.StartAt, one.EndAt).ToString(), one.State,
                    $"{one.IntervalsCompleted}/{one.Intervals}", Output.Text(one.CreatedAt), one.CreatedBy,
                ]),
                "There are no backfills; see `exporter backfill create --help`."));
        });
    }

    private static CliCommand Show()
    {
        var id = Values.Id("backfill");
        return new CliCommand("show", "Show a backfill and its runs", "exporter backfill show 019ab3c4-...").With(id).Does(async (parse, session, cancellationToken) =>
        {
            var one = await session.Backfills.GetAsync(parse.GetRequiredValue(id), cancellationToken).ConfigureAwait(false);
            var runs = await session.Runs.ListAsync(new RunFilter { BackfillId = one.BackfillId, Limit = Backfill.MostIntervals }, cancellationToken).ConfigureAwait(false);
            runs = [.. runs.OrderBy(run => run.IntervalStart)];
            session.Output.Answer(new { Backfill = one, Runs = runs }, output =>
            {
                output.Details(
                    ("backfill", one.BackfillId.ToString()),
                    ("export", one.BatchExport),
                    ("range", new DataInterval(one.StartAt, one.EndAt).ToString()),
                    ("state", one.State),
                    ("error", one.Error),
                    ("intervals", $"{one.IntervalsCompleted:N0} of {one.Intervals:N0} completed"),
                    ("at once", Output.Text(one.Parallel)),
                    ("replace", one.Replace ? "yes" : "no"),
                    ("order", one.NewestFirst ? "newest first" : "oldest first"),
                    ("engine run", one.RunId.ToString()),
                    ("created", $"{Output.Text(one.CreatedAt)} by {one.CreatedBy}"),
                    ("finished", Output.Text(one.FinishedAt)));
                output.Line("");
                output.Table(
                    ["RUN", "INTERVAL", "STATE", "SLICES", "ROWS"],
                    runs.Select(run => (IReadOnlyList<string?>)
                        [run.RunId.ToString(), run.Interval().ToString(), run.State, run.Slices is null ? "" : $"{run.SlicesCommitted}/{run.Slices}", Output.Text(run.ExportedRows)]),
                    "No run was started yet.");
            });
        });
    }

    private static CliCommand Pause() => Steer(
        "pause", "Let a backfill start nothing more until it is resumed; runs that it has started go on", "has ended already", "starts nothing more until it is resumed",
        (backfills, id, actor, cancellationToken) => backfills.PauseAsync(id, actor, cancellationToken));

    private static CliCommand Resume() => Steer(
        "resume", "Let a paused backfill go on", "is not paused", "goes on",
        (backfills, id, actor, cancellationToken) => backfills.ResumeAsync(id, actor, cancellationToken));

    private static CliCommand Cancel() => Steer(
        "cancel", "Ask a backfill and its runs to end; what they have exported stays", "has ended already", "is asked to end",
        (backfills, id, actor, cancellationToken) => backfills.CancelAsync(id, actor, cancellationToken));

    private static CliCommand Steer(
        string verb, string description, string refusal, string answer, Func<BackfillStore, Guid, string, CancellationToken, Task<bool>> steer)
    {
        var id = Values.Id("backfill");
        return new CliCommand(verb, description, $"exporter backfill {verb} 019ab3c4-...").With(id).Does(async (parse, session, cancellationToken) =>
        {
            var given = parse.GetRequiredValue(id);
            if (!await steer(session.Backfills, given, session.Actor, cancellationToken).ConfigureAwait(false))
            {
                throw new UserErrorException("backfill", $"Backfill {given} {refusal}.", $"See `exporter backfill show {given}`.");
            }

            var one = await session.Backfills.GetAsync(given, cancellationToken).ConfigureAwait(false);
            session.Output.Answer(one, output => output.Line($"Backfill {given} {answer}."));
        });
    }
}
