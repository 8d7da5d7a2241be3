using System.CommandLine;
using Exporter.Exports.Model;

namespace Exporter.Exports.Cli;

/// <summary>The options that say when an export runs and how it cuts time.</summary>
internal sealed class ScheduleOptions
{
    private readonly Option<EveryValue?> _every = new("--every")
    {
        Description = "A data interval: a fixed length in UTC (5m, 15m, 1h, 1d; from 1m to 52w), or hour, day, week or month by the clocks of --time-zone",
        HelpName = "duration|unit",
        CustomParser = result => Values.Parse<EveryValue?>(
            result,
            text => ExportJson.Find<CalendarUnit>(text) is { } unit
                ? new EveryValue(null, unit)
                : Duration.TryParse(text, out var duration) ? new EveryValue(duration, null) : null,
            text => $"--every is \"{text}\", which is no duration. Write a whole number and s, m, h, d or w, such as 15m; or hour, day, week or month."),
    };

    private readonly Option<string> _cron = new("--cron") { Description = "Or: a cron expression; each occurrence ends a data interval", HelpName = "expression" };
    private readonly Option<string> _zone = new("--time-zone") { Description = "The zone of --cron and of hour, day, week and month. Default UTC", HelpName = "name" };
    private readonly Option<TimeSpan?> _offset = Values.Time("--offset", "Moves the boundaries of --every. Default 0s", "duration");
    private readonly Option<DateTimeOffset?> _start = Values.Time("--start", "Nothing before is exported. Default no bound");
    private readonly Option<DateTimeOffset?> _end = Values.Time("--end", "Nothing from here on is exported. Default no bound");
    private readonly Option<TimeSpan?> _settle = Values.Time("--settle-delay", "How long after an interval's end its run starts. Default 1m", "duration");
    private readonly Option<TimeSpan?> _jitter = Values.Time("--jitter", "The start is later by up to this. Default 15m from 1h on, 20m from 1d on, 30m from 1w on", "duration");

    /// <summary>In the order of the help.</summary>
    public IReadOnlyList<Symbol> All => [_every, _cron, _zone, _offset, _start, _end, _settle, _jitter];

    /// <summary>Without the start, which a schedule that is changed has from the one before it.</summary>
    public IReadOnlyList<Symbol> OfChange => [.. All.Where(option => option != _start)];

    public ExportSchedule Read(ParseResult parse, bool change = false)
    {
        var usual = new ExportSchedule();
        var every = parse.GetValue(_every);
        return usual with
        {
            Every = every?.Duration,
            Calendar = every?.Unit,
            Cron = parse.GetValue(_cron),
            TimeZone = parse.GetValue(_zone) ?? usual.TimeZone,
            Offset = parse.GetValue(_offset) ?? usual.Offset,
            Start = change ? null : parse.GetValue(_start),
            End = parse.GetValue(_end),
            SettleDelay = parse.GetValue(_settle) ?? usual.SettleDelay,
            Jitter = parse.GetValue(_jitter),
        };
    }

    private sealed record EveryValue(TimeSpan? Duration, CalendarUnit? Unit);
}
