using System.Globalization;
using Exporter.Engine.Scheduling;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>
/// When a batch export runs, and how it cuts time. Its occurrences are the boundaries of the data intervals: the one at t
/// exports from the occurrence before t up to t. So intervals tile time, over every change of the clocks.
/// </summary>
public sealed record ExportSchedule
{
    /// <summary>How many earlier schedules are remembered; before the oldest of them, time is cut as that one cuts it.</summary>
    public const int MostEarlier = 20;

    private static readonly TimeSpan Week = TimeSpan.FromDays(7);
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    /// <summary>
    /// A fixed duration in UTC, counted from midnight, whole weeks from Monday. From 1 minute to 52 weeks. Either this,
    /// <see cref="Calendar"/> or <see cref="Cron"/>.
    /// </summary>
    public TimeSpan? Every { get; init; }

    /// <summary>Hours, days, weeks (from Monday) or months as the clocks of <see cref="TimeZone"/> show them.</summary>
    public CalendarUnit? Calendar { get; init; }

    /// <summary>A cron expression of five fields, or six with seconds first.</summary>
    public string? Cron { get; init; }

    /// <summary>The zone of <see cref="Calendar"/> and <see cref="Cron"/>, as in the IANA database. Default UTC.</summary>
    public string TimeZone { get; init; } = "UTC";

    /// <summary>
    /// Moves the boundaries of <see cref="Every"/> and <see cref="Calendar"/>. Default 0; at least 0 and less than the interval, of
    /// months less than 28 days.
    /// </summary>
    public TimeSpan Offset { get; init; }

    /// <summary>Nothing before it is exported, and it is a boundary. Default none; whole seconds, from 1970 on.</summary>
    public DateTimeOffset? Start { get; init; }

    /// <summary>Nothing from here on is exported: the last interval ends at the last boundary until then. Default none; after <see cref="Start"/>.</summary>
    public DateTimeOffset? End { get; init; }

    /// <summary>No boundary lies between <see cref="Start"/> and this; set by <see cref="ChangedTo"/>. Default none.</summary>
    public DateTimeOffset? FirstAfter { get; init; }

    /// <summary>What cut time before <see cref="Start"/>; set by <see cref="ChangedTo"/>. Default nothing did.</summary>
    public ExportSchedule? Earlier { get; init; }

    /// <summary>How long after an interval's end its run starts, for rows that arrive late. Default 1 minute; from 0 to 7 days.</summary>
    public TimeSpan SettleDelay { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// The start is later by up to this, so that not all exports start at once. Default by the interval: none below an
    /// hour and for cron, 15 minutes below a day, 20 minutes below a week, then 30. From 0 to 1 day.
    /// </summary>
    public TimeSpan? Jitter { get; init; }

    /// <summary>The rule for the engine, which occurs at every boundary but the start.</summary>
    public ScheduleSpec ToSpec() => Rule() with
    {
        StartAt = (FirstAfter ?? Start) is { } after ? Whole(after) + Second : null,
        EndAt = End is { } end ? Whole(end) + Second : null,
        Delay = SettleDelay,
        Jitter = Jitter ?? UsualJitter(),
    };

    /// <summary>The first boundary after a time; null when there is none any more.</summary>
    public DateTimeOffset? BoundaryAfter(DateTimeOffset time)
    {
        if (Start is { } start && time < start)
        {
            return Earlier?.BoundaryAfter(time) is { } earlier && earlier < start ? earlier : start;
        }

        var next = Occurrences.After(Rule(), FirstAfter is { } quiet && quiet > time ? quiet : time);
        return next <= (End ?? DateTimeOffset.MaxValue) ? next : null;
    }

    /// <summary>The last boundary before a time; null when there is none in ten years.</summary>
    public DateTimeOffset? BoundaryBefore(DateTimeOffset time)
    {
        if (Start is { } start && time <= start)
        {
            return Earlier?.BoundaryBefore(time);
        }

        var last = Occurrences.Before(Rule(), End is { } end && time > end ? end.AddTicks(1) : time);
        return Start is { } first && !(last > (FirstAfter ?? first)) ? first : last;
    }

    /// <summary>
    /// The schedule that takes this one's place, so that no time is left out and none comes twice: it begins where the first
    /// interval begins that this one has not started, and its first interval reaches from there to its first boundary after now.
    /// </summary>
    /// <param name="next">The new rule, without start.</param>
    /// <param name="undecided">The first occurrence of this schedule that has not started a run; null when there is none any more.</param>
    /// <param name="now">The database's time.</param>
    /// <exception cref="UserErrorException">The new rule has a start of its own, or this one's next interval has none.</exception>
    public ExportSchedule ChangedTo(ExportSchedule next, DateTimeOffset? undecided, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(next);
        if (next.Start is not null || next.Earlier is not null)
        {
            throw new UserErrorException("start", "A schedule that is changed begins where the old one ends.", "Leave start out.");
        }

        var from = BoundaryBefore(undecided ?? now.AddTicks(1)) ?? throw new UserErrorException(
            "cron", $"The schedule, {this}, has no boundary in the ten years before {now:O}.", "Create the export anew.");
        return (next with
        {
            Start = from,
            FirstAfter = now > from ? now : from,
            // One that was never in force leaves no trace.
            Earlier = Cut(Start == from ? Earlier : this, MostEarlier),
        }).Validate();
    }

    /// <summary>The rule alone, without what cut time before it; a start that somebody chose stays.</summary>
    internal ExportSchedule WithoutPast() => Earlier is null && FirstAfter is null ? this : this with { Start = null, FirstAfter = null, Earlier = null };

    /// <summary>A schedule that somebody gave: its past is for <see cref="ChangedTo"/> to set.</summary>
    /// <exception cref="UserErrorException">It has one.</exception>
    internal ExportSchedule Given() => Earlier is null && FirstAfter is null ? this : throw new UserErrorException(
        "schedule", "earlier and first_after follow from how a schedule was changed.", "Leave them out.");

    /// <summary>Whether a time is a boundary.</summary>
    public bool IsBoundary(DateTimeOffset time) => BoundaryAfter(time.AddTicks(-1)) == time;

    /// <summary>The data interval that the occurrence at this time exports.</summary>
    /// <exception cref="UserErrorException">The cron expression has no earlier occurrence, so the interval has no start.</exception>
    public DataInterval IntervalFor(DateTimeOffset occurrence) => new(
        BoundaryBefore(occurrence) ?? throw new UserErrorException(
            "cron", $"\"{Cron}\" has no occurrence in the ten years before {occurrence:O}.", "Use an expression that occurs at least twice in ten years."),
        occurrence);

    /// <summary>The last data interval that ends at or before a time.</summary>
    public DataInterval LastIntervalUntil(DateTimeOffset time) => IntervalFor(BoundaryBefore(time.AddTicks(1)) ?? time);

    /// <summary>The data intervals of a range between two boundaries, in order, without gap or overlap.</summary>
    public IEnumerable<DataInterval> IntervalsOf(DataInterval range)
    {
        ArgumentNullException.ThrowIfNull(range);
        for (var start = range.Start; start < range.End;)
        {
            var end = BoundaryAfter(start) is { } next && next < range.End ? next : range.End;
            yield return new DataInterval(start, end);
            start = end;
        }
    }

    /// <summary>
    /// Throws when an end of a range is no boundary. A part of an interval cannot be exported by itself: the whole of it, which
    /// comes later, would bring the same rows again.
    /// </summary>
    /// <exception cref="UserErrorException">An end is no boundary; the advice names the nearest ones.</exception>
    public void CheckBoundaries(DataInterval range)
    {
        ArgumentNullException.ThrowIfNull(range);
        Check("start", range.Start);
        Check("end", range.End);

        void Check(string setting, DateTimeOffset time)
        {
            if (!IsBoundary(time))
            {
                throw new UserErrorException(
                    setting,
                    $"{Text(time)} is no boundary of the schedule, {this}.",
                    $"Use {Text(BoundaryBefore(time))} or {Text(BoundaryAfter(time))}.");
            }
        }
    }

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public ExportSchedule Validate()
    {
        if (new[] { Every is not null, Calendar is not null, Cron is not null }.Count(given => given) != 1)
        {
            throw new UserErrorException("every", "A schedule is either \"every\" a duration or unit of the calendar, or a \"cron\" expression.", "Give one of the two.");
        }

        Between("every", Every ?? TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), 52 * Week);
        Between("settle_delay", SettleDelay, TimeSpan.Zero, Week);
        Between("jitter", Jitter ?? TimeSpan.Zero, TimeSpan.Zero, TimeSpan.FromDays(1));
        if (Offset < TimeSpan.Zero || Offset >= LongestOffset() || Offset.Ticks % TimeSpan.TicksPerSecond != 0)
        {
            throw new UserErrorException(
                "offset", $"offset is {Offset}.", "Give whole seconds, at least 0s and less than every (less than 28d for months); with cron, leave it out.");
        }

        if (Every is not null && TimeZone != "UTC")
        {
            throw new UserErrorException(
                "time_zone", $"A fixed duration knows no clocks, so {TimeZone} does not count.", "Use every hour, day, week or month, or cron; or leave time_zone out.");
        }

        Bounds();
        if (Every is null)
        {
            try
            {
                ToSpec().Validate();
            }
            catch (ArgumentException error)
            {
                var zone = error.ParamName == "id";
                throw new UserErrorException(
                    zone ? "time_zone" : "cron",
                    error.Message.Split(" (Parameter", 2)[0],
                    zone ? "Use a name of the IANA database, such as Europe/Berlin." : "Write five fields: minute, hour, day of month, month, day of week; \"0 * * * *\" is every hour.",
                    error);
            }

            if (BoundaryAfter(DateTimeOffset.UnixEpoch) is null)
            {
                throw new UserErrorException("cron", $"\"{Cron}\" never occurs.", "Use an expression that occurs at least twice in ten years.");
            }
        }

        return this;
    }

    /// <summary>As people say it.</summary>
    public override string ToString()
    {
        var rule = Cron is not null ? $"cron \"{Cron}\" {TimeZone}"
            : $"every {(Calendar is { } unit ? ExportJson.Word(unit) : Duration.Format(Every ?? TimeSpan.Zero))}"
                + (Offset == TimeSpan.Zero ? "" : $" offset {Duration.Format(Offset)}") + (TimeZone == "UTC" ? "" : $" {TimeZone}");
        return rule + (Start is null ? "" : $" from {Text(Start)}") + (End is null ? "" : $" until {Text(End)}");
    }

    private static string Text(DateTimeOffset? time) => time?.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture) ?? "none";

    // 1970 began on a Thursday; weeks begin on the Monday after.
    private static TimeSpan Alignment(TimeSpan every) => every.Ticks % Week.Ticks == 0 ? TimeSpan.FromDays(4) : TimeSpan.Zero;

    private static void Between(string setting, TimeSpan value, TimeSpan least, TimeSpan most)
    {
        if (value < least || value > most || value.Ticks % TimeSpan.TicksPerSecond != 0)
        {
            throw new UserErrorException(
                setting, $"{setting} is {value}.", $"Give whole seconds from {Duration.Format(least)} to {Duration.Format(most)}.");
        }
    }

    private TimeSpan UsualJitter() => (Every, Calendar) switch
    {
        (_, CalendarUnit.Week or CalendarUnit.Month) => TimeSpan.FromMinutes(30),
        (_, CalendarUnit.Day) => TimeSpan.FromMinutes(20),
        (_, CalendarUnit.Hour) => TimeSpan.FromMinutes(15),
        ({ } every, _) when every >= Week => TimeSpan.FromMinutes(30),
        ({ } every, _) when every >= TimeSpan.FromDays(1) => TimeSpan.FromMinutes(20),
        ({ } every, _) when every >= TimeSpan.FromHours(1) => TimeSpan.FromMinutes(15),
        _ => TimeSpan.Zero,
    };

    private TimeSpan LongestOffset() => Calendar switch
    {
        CalendarUnit.Hour => TimeSpan.FromHours(1),
        CalendarUnit.Day => TimeSpan.FromDays(1),
        CalendarUnit.Week => Week,
        CalendarUnit.Month => TimeSpan.FromDays(28),
        _ => Every ?? TimeSpan.FromTicks(1),
    };

    // The instants alone, without bounds.
    private ScheduleSpec Rule() => new()
    {
        Cron = Calendar is { } unit ? CronOf(unit) : Cron,
        TimeZone = TimeZone,
        Every = Every,
        Offset = Every is { } every ? TimeSpan.FromTicks((Alignment(every) + Offset).Ticks % every.Ticks) : TimeSpan.Zero,
    };

    private string CronOf(CalendarUnit unit)
    {
        var time = string.Create(CultureInfo.InvariantCulture, $"{Offset.Seconds} {Offset.Minutes}");
        return unit switch
        {
            CalendarUnit.Hour => $"{time} * * * *",
            CalendarUnit.Day => string.Create(CultureInfo.InvariantCulture, $"{time} {Offset.Hours} * * *"),
            CalendarUnit.Week => string.Create(CultureInfo.InvariantCulture, $"{time} {Offset.Hours} * * {(Offset.Days + 1) % 7}"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{time} {Offset.Hours} {Offset.Days + 1} * *"),
        };
    }

    private void Bounds()
    {
        foreach (var (setting, bound) in ((string, DateTimeOffset?)[])[("start", Start), ("end", End)])
        {
            if (bound is { } time && (time < DateTimeOffset.UnixEpoch || time.Year > 2400 || time != Whole(time)))
            {
                throw new UserErrorException(setting, $"{setting} is {time:O}.", "Give a time in whole seconds from 1970 to 2400.");
            }
        }

        if (End <= Start)
        {
            throw new UserErrorException("end", $"The end, {Text(End)}, is not after the start, {Text(Start)}.", "Choose a later end.");
        }
    }

    private static DateTimeOffset Whole(DateTimeOffset time) => time.AddTicks(-(time.Ticks % TimeSpan.TicksPerSecond));

    private static ExportSchedule? Cut(ExportSchedule? schedule, int most) => schedule is null || most == 0
        ? null
        : schedule with { Earlier = Cut(schedule.Earlier, most - 1), Start = most == 1 ? null : schedule.Start, FirstAfter = most == 1 ? null : schedule.FirstAfter };
}

/// <summary>A unit of the calendar, as clocks show it.</summary>
public enum CalendarUnit
{
    /// <summary>From the full hour.</summary>
    Hour,

    /// <summary>From midnight.</summary>
    Day,

    /// <summary>From midnight of Monday.</summary>
    Week,

    /// <summary>From midnight of the first.</summary>
    Month,
}
