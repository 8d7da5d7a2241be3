using Exporter.Engine.Scheduling;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>
/// When a batch export runs, and how it cuts time. Its occurrences are the boundaries of the data intervals: the one at t
/// exports from the occurrence before t up to t. So intervals tile time, over every change of the clocks.
/// </summary>
public sealed record ExportSchedule
{
    private static readonly TimeSpan Week = TimeSpan.FromDays(7);

    /// <summary>A fixed duration in UTC, counted from midnight, whole weeks from Monday. From 1 minute to 52 weeks. Either this or <see cref="Cron"/>.</summary>
    public TimeSpan? Every { get; init; }

    /// <summary>A cron expression of five fields, or six with seconds first.</summary>
    public string? Cron { get; init; }

    /// <summary>The zone of <see cref="Cron"/>, as in the IANA database. Default UTC.</summary>
    public string TimeZone { get; init; } = "UTC";

    /// <summary>Moves the boundaries of <see cref="Every"/>. Default 0; at least 0 and less than <see cref="Every"/>.</summary>
    public TimeSpan Offset { get; init; }

    /// <summary>How long after an interval's end its run starts, for rows that arrive late. Default 1 minute; from 0 to 7 days.</summary>
    public TimeSpan SettleDelay { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// The start is later by up to this, so that not all exports start at once. Default by <see cref="Every"/>: none below an
    /// hour and for cron, 15 minutes below a day, 20 minutes below a week, then 30. From 0 to 1 day.
    /// </summary>
    public TimeSpan? Jitter { get; init; }

    /// <summary>The rule for the engine.</summary>
    public ScheduleSpec ToSpec() => new()
    {
        Cron = Cron,
        TimeZone = TimeZone,
        Every = Every,
        Offset = Every is { } every ? TimeSpan.FromTicks((Alignment(every) + Offset).Ticks % every.Ticks) : TimeSpan.Zero,
        Delay = SettleDelay,
        Jitter = Jitter ?? UsualJitter(),
    };

    /// <summary>The first boundary after a time; null when there is none any more.</summary>
    public DateTimeOffset? BoundaryAfter(DateTimeOffset time) => Occurrences.After(ToSpec(), time);

    /// <summary>The last boundary before a time; null when there is none in ten years.</summary>
    public DateTimeOffset? BoundaryBefore(DateTimeOffset time) => Occurrences.Before(ToSpec(), time);

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
        if ((Every is null) == (Cron is null))
        {
            throw new UserErrorException("every", "A schedule is either \"every\" a duration or a \"cron\" expression.", "Give one of the two.");
        }

        Between("every", Every ?? TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), 52 * Week);
        Between("settle_delay", SettleDelay, TimeSpan.Zero, Week);
        Between("jitter", Jitter ?? TimeSpan.Zero, TimeSpan.Zero, TimeSpan.FromDays(1));
        if (Offset < TimeSpan.Zero || Offset >= (Every ?? TimeSpan.FromTicks(1)))
        {
            throw new UserErrorException(
                "offset", $"offset is {Duration.Format(Offset)}.", "Give at least 0s and less than every; with cron, leave it out.");
        }

        if (Cron is not null)
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
    public override string ToString() => Every is { } every
        ? $"every {Duration.Format(every)}" + (Offset == TimeSpan.Zero ? "" : $" offset {Duration.Format(Offset)}")
        : $"cron \"{Cron}\" {TimeZone}";

    private static string Text(DateTimeOffset? time) => time?.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture) ?? "none";

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

    private TimeSpan UsualJitter() => Every switch
    {
        { } every when every >= Week => TimeSpan.FromMinutes(30),
        { } every when every >= TimeSpan.FromDays(1) => TimeSpan.FromMinutes(20),
        { } every when every >= TimeSpan.FromHours(1) => TimeSpan.FromMinutes(15),
        _ => TimeSpan.Zero,
    };
}
