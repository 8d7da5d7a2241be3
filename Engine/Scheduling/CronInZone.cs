using Cronos;

namespace Exporter.Engine.Scheduling;

/// <summary>
/// A cron expression in a time zone. Cronos only says which local times match; which instants they are is decided here, from
/// the zone's offset at an instant and nothing else. What .NET says about invalid and ambiguous local times is wrong where
/// winter time is the exception (Europe/Dublin), and so is what Cronos makes of it.
/// </summary>
internal sealed class CronInZone(CronExpression cron, bool repeats, TimeZoneInfo zone)
{
    // No zone changes its clocks twice within a day, and none by more than a day.
    private static readonly TimeSpan Step = TimeSpan.FromDays(1);

    /// <summary>The first instant after a time; null when there is none any more.</summary>
    public DateTime? After(DateTime time)
    {
        var inclusive = false;
        while (true)
        {
            var offset = zone.GetUtcOffset(time);
            var (from, fromInclusive) = (time + offset, inclusive);
            if (!repeats && RepeatedUntil(time, offset) is { } end && from < end)
            {
                (from, fromInclusive) = (end, true);
            }

            if (cron.GetNextOccurrence(from, fromInclusive) is not { } local)
            {
                return null;
            }

            if (ChangeWithin(time, local - offset) is not { } change)
            {
                return local - offset;
            }

            // The clocks change before that local time comes. Those that the change leaves out occur at it, once.
            if (zone.GetUtcOffset(change) > offset && local < change + zone.GetUtcOffset(change))
            {
                return change;
            }

            (time, inclusive) = (change, true);
        }
    }

    /// <summary>The local time up to which clocks show, at this instant, what they have shown before; null if they do not.</summary>
    private DateTime? RepeatedUntil(DateTime time, TimeSpan offset)
    {
        var before = zone.GetUtcOffset(time - Step);
        return before > offset && ChangeWithin(time - Step, time) is { } change ? change + before : null;
    }

    /// <summary>The first change of the offset in (start, end]; null if there is none.</summary>
    private DateTime? ChangeWithin(DateTime start, DateTime end)
    {
        var offset = zone.GetUtcOffset(start);
        for (var low = start; low < end; low += Step)
        {
            var high = end - low < Step ? end : low + Step;
            if (zone.GetUtcOffset(high) == offset)
            {
                continue;
            }

            // Clocks change at whole seconds: high ends as the first one with the new offset.
            high = new DateTime(high.Ticks / TimeSpan.TicksPerSecond * TimeSpan.TicksPerSecond, DateTimeKind.Utc);
            low = new DateTime(low.Ticks / TimeSpan.TicksPerSecond * TimeSpan.TicksPerSecond, DateTimeKind.Utc);
            while ((high - low).Ticks > TimeSpan.TicksPerSecond)
            {
                var middle = low.AddSeconds(Math.Floor((high - low).TotalSeconds / 2));
                (low, high) = zone.GetUtcOffset(middle) == offset ? (middle, high) : (low, middle);
            }

            return high;
        }

        return null;
    }
}
