using NodaTime;
using NodaTime.TimeZones;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>One field of a cron expression: its text, the numbers that it matches, and whether it is a star, a range or a step.</summary>
internal sealed record CronField(string Text, IReadOnlySet<int> Matches, bool IsInterval);

/// <summary>
/// An independent answer to when a cron expression occurs: walks every local second or minute of a range, matches the fields
/// one by one, and asks NodaTime's own copy of the time zone database for the instant. Shares no code with the engine.
/// </summary>
internal sealed record CronOracle(CronField Second, CronField Minute, CronField Hour, CronField Day, CronField Month, CronField Weekday)
{
    public string Cron(bool seconds) =>
        (seconds ? Second.Text + " " : "") + $"{Minute.Text} {Hour.Text} {Day.Text} {Month.Text} {Weekday.Text}";

    public List<DateTimeOffset> Between(string zoneId, bool seconds, DateTimeOffset start, DateTimeOffset end)
    {
        var zone = DateTimeZoneProviders.Tzdb[zoneId];
        var found = new SortedSet<DateTimeOffset>();
        var interval = Hour.IsInterval || Minute.IsInterval || (seconds && Second.IsInterval);

        // Wider than the range at both ends, since what falls into a gap occurs later.
        var local = new LocalDateTime(start.Year, start.Month, start.Day, 0, 0).PlusDays(-2);
        var last = new LocalDateTime(end.Year, end.Month, end.Day, 0, 0).PlusDays(2);
        while (local < last)
        {
            if (!MatchesDay(local))
            {
                local = local.Date.PlusDays(1).AtMidnight();
                continue;
            }

            if (!Hour.Matches.Contains(local.Hour))
            {
                local = local.PlusHours(1);
                continue;
            }

            if (Minute.Matches.Contains(local.Minute))
            {
                for (var second = 0; second < (seconds ? 60 : 1); second++)
                {
                    if (!seconds || Second.Matches.Contains(second))
                    {
                        Add(found, zone.MapLocal(local.PlusSeconds(second)), interval);
                    }
                }
            }

            local = local.PlusMinutes(1);
        }

        return [.. found.Where(time => time >= start && time < end)];
    }

    private static void Add(SortedSet<DateTimeOffset> found, ZoneLocalMapping mapping, bool interval)
    {
        if (mapping.Count == 0)
        {
            found.Add(mapping.LateInterval.Start.ToDateTimeOffset());
            return;
        }

        found.Add(mapping.First().ToInstant().ToDateTimeOffset());
        if (mapping.Count == 2 && interval)
        {
            found.Add(mapping.Last().ToInstant().ToDateTimeOffset());
        }
    }

    private bool MatchesDay(LocalDateTime local) =>
        Month.Matches.Contains(local.Month) && Day.Matches.Contains(local.Day) && Weekday.Matches.Contains((int)local.DayOfWeek % 7);
}
