using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Cronos;

namespace Exporter.Engine.Scheduling;

/// <summary>From a rule to its instants; pure.</summary>
public static class Occurrences
{
    /// <summary>The first instant of the rule after a time; null when there is none any more.</summary>
    public static DateTimeOffset? After(ScheduleSpec spec, DateTimeOffset time)
    {
        ArgumentNullException.ThrowIfNull(spec);
        if (spec.StartAt is { } start && time < start)
        {
            time = start.AddTicks(-1);
        }

        var found = spec.Every is null ? AfterCron(spec, time) : AfterEvery(spec, time);
        foreach (var rule in spec.Also)
        {
            if (After(rule, time) is { } other && !(found <= other))
            {
                found = other;
            }
        }

        return found >= spec.EndAt ? null : found;
    }

    /// <summary>The last instant of the rule before a time; null when there is none in the ten years before.</summary>
    public static DateTimeOffset? Before(ScheduleSpec spec, DateTimeOffset time)
    {
        ArgumentNullException.ThrowIfNull(spec);
        if (spec.EndAt is { } end && time > end)
        {
            time = end;
        }

        var found = spec.Every is { } every ? AfterEvery(spec, time.AddTicks(-every.Ticks - 1)) : BeforeCron(spec, time);
        foreach (var rule in spec.Also)
        {
            if (Before(rule, time) is { } other && !(found >= other))
            {
                found = other;
            }
        }

        return found < spec.StartAt ? null : found;
    }

    /// <summary>The instants of the rule in a half-open range, in order.</summary>
    public static IEnumerable<DateTimeOffset> Between(ScheduleSpec spec, DateTimeOffset start, DateTimeOffset end)
    {
        ArgumentNullException.ThrowIfNull(spec);
        for (var next = After(spec, start.AddTicks(-1)); next < end; next = After(spec, next.Value))
        {
            yield return next.Value;
        }
    }

    /// <summary>When the run of an occurrence starts: after the delay and this occurrence's share of the jitter.</summary>
    internal static DateTimeOffset StartOf(string scheduleId, ScheduleSpec spec, DateTimeOffset occurrence)
    {
        var chance = BinaryPrimitives.ReadUInt32LittleEndian(Hash(scheduleId, occurrence)) / (double)uint.MaxValue;
        return occurrence + spec.Delay + (spec.Jitter * chance);
    }

    /// <summary>The id of an occurrence's run: the same whoever starts it, and however often.</summary>
    internal static Guid RunIdOf(string scheduleId, OccurrenceKey key) => key.Cause == OccurrenceCause.Schedule
        ? new(Hash(scheduleId, key.Time).AsSpan(8, 16))
        : new(Hash($"{scheduleId}\0{key.RequestId:N}", key.Time).AsSpan(8, 16));

    internal static CronExpression Parse(string cron)
    {
        try
        {
            var fields = cron.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length;
            return CronExpression.Parse(cron, fields == 6 ? CronFormat.IncludeSeconds : CronFormat.Standard);
        }
        catch (CronFormatException error)
        {
            throw new ArgumentException($"\"{cron}\" is no cron expression: {error.Message}", nameof(cron), error);
        }
    }

    internal static TimeZoneInfo Zone(string id)
    {
        try
        {
            return TimeZoneInfo.FindSystemTimeZoneById(id);
        }
        catch (Exception error) when (error is TimeZoneNotFoundException or InvalidTimeZoneException)
        {
            throw new ArgumentException($"\"{id}\" is no time zone of this machine.", nameof(id), error);
        }
    }

    private static DateTimeOffset? AfterEvery(ScheduleSpec spec, DateTimeOffset time)
    {
        var every = spec.Every!.Value;
        var ticks = time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks - spec.Offset.Ticks;
        var cycles = Math.DivRem(ticks, every.Ticks, out var rest) - (rest < 0 ? 1 : 0);
        return DateTimeOffset.UnixEpoch.AddTicks(((cycles + 1) * every.Ticks) + spec.Offset.Ticks);
    }

    private static DateTimeOffset? AfterCron(ScheduleSpec spec, DateTimeOffset time) =>
        new CronInZone(Parse(spec.Cron!), Repeats(spec.Cron!), Zone(spec.TimeZone)).After(time.UtcDateTime) is { } found
            ? new DateTimeOffset(found, TimeSpan.Zero)
            : null;

    /// <summary>Whether hours, minutes or seconds have a star, a range or a step, so that an hour that comes twice counts twice.</summary>
    private static bool Repeats(string cron)
    {
        var fields = cron.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length == 1
            ? fields[0].ToUpperInvariant() is "@EVERY_SECOND" or "@EVERY_MINUTE" or "@HOURLY"
            : fields[..(fields.Length - 3)].Any(field => field.AsSpan().ContainsAny("*?-/"));
    }

    // Cronos only looks forward: look from ever further back, then come closer.
    private static DateTimeOffset? BeforeCron(ScheduleSpec spec, DateTimeOffset time)
    {
        for (var back = TimeSpan.FromMinutes(2); back < TimeSpan.FromDays(3660); back *= 3)
        {
            if (AfterCron(spec, time - back) is { } found && found < time)
            {
                while (AfterCron(spec, found) is { } next && next < time)
                {
                    found = next;
                }

                return found;
            }
        }

        return null;
    }

    private static byte[] Hash(string scheduleId, DateTimeOffset occurrence) =>
        SHA256.HashData([.. Encoding.UTF8.GetBytes(scheduleId), 0, .. BitConverter.GetBytes(occurrence.UtcTicks)]);
}
