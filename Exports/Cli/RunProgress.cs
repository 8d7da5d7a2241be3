using System.Globalization;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary>How far a run is, in words.</summary>
internal static class RunProgress
{
    /// <summary>One line; with slices in progress, pace and time left while there are any.</summary>
    public static string Text(RunView run, ProgressView? progress = null) => run.Slices is null
        ? Planning(run) ?? run.State ?? "ended"
        : $"{run.SlicesCommitted:N0} of {run.Slices:N0} slices, {progress?.Rows ?? run.ExportedRows:N0} of {run.ExpectedRows:N0} rows"
            + (RunCommands.HasEnded(run.State) || progress is null ? "" : Pace(progress));

    /// <summary>Lines for <c>run show</c>, of a run that has not ended.</summary>
    public static IEnumerable<(string Name, string? Value)> Details(ProgressView? progress) => progress is null ? [] :
    [
        ("slices in progress", Output.Text(progress.SlicesRunning)),
        ("rows so far", Output.Text(progress.Rows)),
        ("sent so far", Output.Bytes(progress.SentBytes)),
        ("rows per second", progress.RowsPerSecond is { } pace ? $"{pace:N0}" : null),
        ("time left", Left(progress)),
        ("seen", Output.Text(progress.SeenAt)),
    ];

    private static string? Planning(RunView run) => run.Phase != "planning" ? null
        : run.PlanningSeconds is not { } seconds ? "planning"
        : string.Create(CultureInfo.InvariantCulture, $"planning for {seconds:0} s, {run.PlanningReadRows:N0} rows read to count them");

    private static string Pace(ProgressView progress) =>
        (progress.RowsPerSecond is > 0 and var pace ? $", {pace:N0} rows/s" : "") + (Left(progress) is { } left ? $", {left} left" : "");

    private static string? Left(ProgressView progress) => progress.SecondsLeft is not { } seconds ? null : TimeSpan.FromSeconds(Math.Ceiling(seconds)) switch
    {
        { TotalMinutes: < 2 } left => string.Create(CultureInfo.InvariantCulture, $"{left.TotalSeconds:0} s"),
        { TotalHours: < 2 } left => string.Create(CultureInfo.InvariantCulture, $"{Math.Ceiling(left.TotalMinutes):0} min"),
        var left => string.Create(CultureInfo.InvariantCulture, $"{Math.Floor(left.TotalHours):0} h {left.Minutes} min"),
    };
}
