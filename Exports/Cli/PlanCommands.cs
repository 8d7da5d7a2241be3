using System.CommandLine;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter export plan</c> and <c>exporter backfill plan</c>: what would move, before anything does.</summary>
internal static class PlanCommands
{
    // A table of more lines is no table; --json has them all.
    private const int MostLines = 50;

    public static CliCommand OfExport()
    {
        var name = ExportCommands.Name();
        var start = Values.Time("--start", "The interval's start, a boundary of the schedule. Default the last interval that has ended");
        var end = Values.Time("--end", "The interval's end");
        return new CliCommand(
            "plan", "Say what a run would move: rows, bytes, files, columns, time. Nothing is written", "exporter export plan events", "exporter export plan events --start 2026-03-01 --end 2026-03-02")
            .With(name, start, end).Does(async (parse, session, cancellationToken) =>
            {
                var given = DataInterval.Given(parse.GetValue(start), parse.GetValue(end));
                var export = await session.Exports.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
                var interval = given ?? export.Schedule.LastIntervalUntil(await session.Runs.ClockAsync(cancellationToken).ConfigureAwait(false));
                using var source = session.OpenSource();
                var estimate = await Estimator(session, source).EstimateAsync(export, interval, replace: true, cancellationToken).ConfigureAwait(false);
                session.Output.Answer(estimate, output => Show(output, export, estimate, parallel: 1));
            });
    }

    public static CliCommand OfBackfill()
    {
        var name = new Argument<string>("export") { Description = "The batch export's name" };
        var start = Values.Time("--start", "A boundary of the schedule. Default the one before the earliest row");
        var end = Values.Time("--end", "A boundary of the schedule. Default the last one");
        var parallel = new Option<int>("--parallel") { Description = "Runs at once, from 1 to 100", HelpName = "number", DefaultValueFactory = _ => 1 };
        var replace = new Option<bool>("--replace") { Description = "Count intervals that are covered, too" };
        return new CliCommand(
            "plan", "Say what a backfill would move: runs, rows, bytes, files, time. Nothing is written", "exporter backfill plan events --start 2026-01-01 --end 2026-02-01")
            .With(name, start, end, parallel, replace).Does(async (parse, session, cancellationToken) =>
            {
                ModelCheck.Range("parallel", parse.GetValue(parallel), 1, 100);
                var export = await session.Exports.GetAsync(parse.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
                var range = await RangeAsync(session, export, parse.GetValue(start), parse.GetValue(end), cancellationToken).ConfigureAwait(false);
                using var source = session.OpenSource();
                var estimate = await Estimator(session, source).EstimateAsync(export, range, parse.GetValue(replace), cancellationToken).ConfigureAwait(false);
                session.Output.Answer(estimate, output => Show(output, export, estimate, parse.GetValue(parallel)));
            });
    }

    /// <summary>A range whose open start is the boundary before the earliest row, and whose open end is the last boundary that has come.</summary>
    public static async Task<DataInterval> RangeAsync(
        Session session, BatchExportView export, DateTimeOffset? start, DateTimeOffset? end, CancellationToken cancellationToken)
    {
        using var source = session.OpenSource();
        return await Estimator(session, source).RangeAsync(export, start, end, cancellationToken).ConfigureAwait(false);
    }

    private static ExportEstimator Estimator(Session session, Sources.ClickHouseSource source) => new(source, new SliceCounter(source), session.Runs);

    private static void Show(Output output, BatchExportView export, ExportEstimate estimate, int parallel)
    {
        output.Details(
            ("export", export.Name),
            ("destination", export.Destination),
            ("range", estimate.Range.ToString()),
            ("intervals", $"{estimate.Intervals:N0}, of which {estimate.Covered:N0} are at the destination"),
            ("runs", Output.Text(estimate.Runs)),
            ("rows", Output.Text(estimate.Rows)),
            ("in the source", estimate.SourceBytes is { } source ? $"about {Output.Bytes(source)}" : null),
            ("written", estimate.WrittenBytes is { } written ? $"about {Output.Bytes(written)}" : "not known: nothing was exported in this form yet"),
            ("slices", $"about {estimate.Slices:N0}"),
            ("time", estimate.Time is { } time
                ? $"about {Duration.Format(TimeSpan.FromSeconds(Math.Ceiling(time.TotalSeconds / Math.Min(parallel, Math.Max(1, estimate.Runs)))))} at the pace of the latest runs"
                : "not known: nothing was exported yet"),
            ("columns", string.Join(", ", estimate.Columns.Select(column => $"{column.Name} {column.Type}"))),
            ("in the way", string.Join(", ", estimate.InTheWay)));
        if (estimate.Intervals > 1)
        {
            output.Line("");
            output.Table(
                ["INTERVAL", "COVERED", "ROWS"],
                estimate.Each.Take(MostLines).Select(one => (IReadOnlyList<string?>)
                    [new DataInterval(one.Start, one.End).ToString(), one.Covered ? "yes" : "no", one.Rows is { } rows ? Output.Text(rows) : "left out"]),
                "");
            if (estimate.Intervals > MostLines)
            {
                output.Line($"... and {estimate.Intervals - MostLines:N0} more; --json has them all.");
            }
        }
    }
}
