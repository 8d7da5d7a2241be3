using System.CommandLine;
using System.Text.Json;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export</c>.</summary>
internal static class ExportCommands
{
    public static Command All() => new CliCommand("export", "Batch exports: what leaves the source, how, where to, and when", "exporter export list")
        .With(new ExportCreateCommand().Command, List(), Show(), ExportGetCommand.Make(), new ExportEditCommand().Command, Duplicate(), PlanCommands.OfExport(), Run(), VerifyCommands.OfExport(), NotificationCommands.Troubles(), Pause(), ExportUnpauseCommand.Make(),
            Reschedule(), Reset(), Delete());

    private static CliCommand List() => new CliCommand("list", "List batch exports", "exporter export list", "exporter export list --json").Does(async (_, session, cancellationToken) =>
    {
        var exports = await session.Exports.ListAsync(cancellationToken).ConfigureAwait(false);
        session.Output.Answer(exports, output => output.Table(
            ["NAME", "SOURCE", "DESTINATION", "SCHEDULE", "STATE", "NEXT RUN"],
            exports.Select(one => (IReadOnlyList<string?>)
                [one.Name, one.Model.SourceName, one.Destination, one.Schedule.ToString(), one.Paused ? "paused" : "active", Output.Text(one.NextAt)]),
            "There are no batch exports; see `exporter export create --help`."));
    });

    private static CliCommand Show()
    {
        var name = Name();
        return new CliCommand("show", "Show a batch export, with the query that its rows come from", "exporter export show events").With(name).Does(async (parse, session, cancellationToken) =>
        {
            var one = await session.Exports.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
            var query = QueryBuilder.Preview(one.Model);
            var answer = JsonSerializer.SerializeToNode(one, ExportJson.Options)!.AsObject();
            answer["sql"] = query.Sql;
            answer["parameters"] = JsonSerializer.SerializeToNode(query.Parameters, ExportJson.Options);
            session.Output.Answer(answer, output =>
            {
                output.Details(Details(one));
                output.Line("");
                output.Line(query.Sql);
                foreach (var (parameter, value) in query.Parameters)
                {
                    output.Line($"  {parameter} = {value}");
                }
            });
        });
    }

    private static CliCommand Run()
    {
        var name = Name();
        var start = Values.Time("--start", "The interval's start, a boundary of the schedule");
        var end = Values.Time("--end", "The interval's end, a boundary of the schedule");
        var wait = new Option<bool>("--wait") { Description = "Wait until it has ended; the exit status says how" };
        return new CliCommand(
            "run",
            "Export one data interval now: the last one that has ended, or the one given. An interval that was exported before is replaced",
            "exporter export run events --wait",
            "exporter export run events --start 2026-03-01 --end 2026-03-02").With(name, start, end, wait).Does(async (parse, session, cancellationToken) =>
            {
                // What can be told without a server is told first.
                var interval = DataInterval.Given(parse.GetValue(start), parse.GetValue(end));
                var export = await session.Exports.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
                var runId = await session.Control.StartAsync(export, interval, session.Actor, cancellationToken).ConfigureAwait(false);
                if (parse.GetValue(wait))
                {
                    return await RunCommands.WaitAsync(session, runId, cancellationToken).ConfigureAwait(false);
                }

                var run = await session.Runs.GetAsync(runId, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(run, output => output.Line($"Started run {runId} of {run.Interval()}; see `exporter run show {runId}`."));
                return ExitStatus.Ok;
            });
    }

    private static CliCommand Pause()
    {
        var name = Name();
        var note = new Option<string>("--note") { Description = "Why, for whoever finds it paused", HelpName = "text" };
        return new CliCommand(
            "pause", "Stop the schedule; runs that were started go on", "exporter export pause events --note \"warehouse is moving\"").With(name, note).Does(async (parse, session, cancellationToken) =>
            {
                var one = await session.Exports.PauseAsync(
                    parse.GetRequiredValue(name), parse.GetValue(note), session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(one, output => output.Line($"Paused {one.Name}."));
            });
    }

    private static CliCommand Duplicate()
    {
        var name = Name();
        var newName = new Argument<string>("new-name") { Description = "The new one's name" };
        var destination = new Option<string>("--destination") { Description = "Where its rows go. Default where the other's go", HelpName = "name" };
        var paused = new Option<bool>("--paused") { Description = "Do not start its schedule" };
        return new CliCommand(
            "duplicate",
            "Make a batch export that is configured as another one; it begins with the interval that goes on now",
            "exporter export duplicate events events-to-lake --destination lake --paused").With(name, newName, destination, paused).Does(async (parse, session, cancellationToken) =>
            {
                var one = await session.Exports.DuplicateAsync(
                    parse.GetRequiredValue(name), parse.GetRequiredValue(newName), parse.GetValue(destination), parse.GetValue(paused), session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(one, output => output.Line(
                    $"Created batch export {one.Name}" + (one.Paused ? ", paused." : $"; its first run starts at {Output.Text(one.NextAt)} UTC.")));
            });
    }

    private static CliCommand Reset()
    {
        var name = Name();
        var from = Values.Time("--from", "From when on, a boundary of the schedule");
        from.Required = true;
        var parallel = new Option<int>("--parallel") { Description = "Runs at once, from 1 to 100", HelpName = "number", DefaultValueFactory = _ => 1 };
        return new CliCommand(
            "reset",
            "Forget what was exported from a time on, and export it again, in place, as the export is configured now",
            "exporter export reset events --from 2026-03-01").With(name, from, parallel).Does(async (parse, session, cancellationToken) =>
            {
                ModelCheck.Range("parallel", parse.GetValue(parallel), 1, 100);
                var backfill = await session.ExportControl.ResetAsync(
                    parse.GetRequiredValue(name), parse.GetRequiredValue(from)!.Value, parse.GetValue(parallel), session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(backfill, output => output.Line(
                    $"Forgot {new DataInterval(backfill.StartAt, backfill.EndAt)}; backfill {backfill.BackfillId} exports its {backfill.Intervals:N0} intervals again."));
            });
    }

    private static CliCommand Reschedule()
    {
        var name = Name();
        var schedule = new ScheduleOptions();
        return new CliCommand(
            "reschedule",
            "Change when it runs and how it cuts time; the first new interval begins where the old schedule's next one would have",
            "exporter export reschedule events --every 15m",
            "exporter export reschedule events --every day --time-zone Europe/Berlin --offset 3h").With([name, .. schedule.OfChange]).Does(async (parse, session, cancellationToken) =>
            {
                var one = await session.Exports.EditAsync(
                    parse.GetRequiredValue(name), new BatchExportEdit { Schedule = schedule.Read(parse, change: true) }, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(one, output => output.Line(
                    $"{one.Name} is exported {one.Schedule}" + (one.Paused ? ", and is paused." : $"; its next run starts at {Output.Text(one.NextAt)} UTC.")));
            });
    }

    private static CliCommand Delete()
    {
        var name = Name();
        return new CliCommand(
            "delete",
            "Delete a batch export and its schedule, and cancel what it has in progress; what was exported stays",
            "exporter export delete events").With(name).Does(async (parse, session, cancellationToken) =>
            {
                var given = parse.GetRequiredValue(name);
                var cancelled = await session.Exports.DeleteAsync(given, session.Actor, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(
                    new { Deleted = given, Cancelled = cancelled },
                    output => output.Line($"Deleted {given}{(cancelled == 0 ? "" : $" and cancelled {cancelled} in progress")}."));
            });
    }

    internal static Argument<string> Name() => new("name") { Description = "The batch export's name" };

    private static IEnumerable<(string Name, string? Value)> Details(BatchExportView one) =>
    [
        ("name", one.Name),
        ("destination", one.Destination),
        ("source", one.Model.SourceName),
        ("columns", one.Model.Columns.Count == 0 ? "all" : string.Join(", ", one.Model.Columns.Select(column => $"{column.Expression} as {column.Alias}"))),
        ("cursor column", one.Model.CursorColumn),
        ("key", string.Join(", ", one.Model.KeyColumns)),
        ("version column", one.Model.VersionColumn),
        ("dedup", ExportJson.Word(one.Model.Dedup)),
        ("deleted column", one.Model.DeletedColumn is { } deleted ? $"{deleted}, {ExportJson.Word(one.Model.Deleted)}" : null),
        ("include", Text(one.Model.Include)),
        ("exclude", Text(one.Model.Exclude)),
        ("where", string.Join(" and ", one.Model.Where)),
        ("filter", one.Model.Filter),
        ("format", $"{ExportJson.Word(one.Format.Format)}, {ExportJson.Word(one.Format.Compression)}"),
        ("schedule", one.Schedule.ToString()),
        ("settle delay", Duration.Format(one.Schedule.SettleDelay)),
        ("parallel slices", Output.Text(one.Settings.ParallelSlices)),
        ("slice size", Output.Bytes(one.Settings.TargetSliceBytes)),
        ("file size", one.Settings.MaxFileBytes is { } most ? $"at most {Output.Bytes(most)}" : null),
        ("slice time", $"at most {Duration.Format(one.Settings.MaxSliceTime)}"),
        ("bad rows", one.Settings.BadRows == BadRowPolicy.Quarantine
            ? $"quarantine, at most {Output.Text(one.Settings.MaxBadRows)} in a slice"
            : ExportJson.Word(one.Settings.BadRows)),
        ("verified after", one.Settings.VerifyAfter == TimeSpan.Zero ? null : Duration.Format(one.Settings.VerifyAfter)),
        ("state", one.Paused ? "paused" + (one.Note is null ? "" : $": {one.Note}") : "active"),
        ("next run", Output.Text(one.NextAt)),
        ("created", Output.Text(one.CreatedAt)),
        ("id", one.BatchExportId.ToString()),
    ];

    private static string Text(IEnumerable<ColumnValues> values) => string.Join(" and ", values.Select(one => $"{one.Column} in {string.Join(", ", one.Values)}"));
}
