namespace Exporter.Engine.Scheduling;

/// <summary>
/// A rule for instants: a cron expression in a time zone, or a fixed interval since 1970 UTC; and with <see cref="Also"/>,
/// the union of several.
/// </summary>
/// <remarks>
/// <para>When clocks change, of a cron expression:</para>
/// <list type="bullet">
/// <item>Local times that do not exist (clocks go forward) are one occurrence, at the first instant after the gap, however many of
/// them match and also when that instant matches itself. So nothing that was due in the gap is lost: "30 2 * * *" in Europe/Berlin
/// occurs at 03:00 on that day.</item>
/// <item>Local times that exist twice (clocks go back) occur once, the first time, when hours, minutes and seconds are numbers or
/// lists of numbers: "30 2 * * *", "0,30 1,2 * * *". They occur both times when one of these three has a star, a range or a step:
/// "0 * * * *", "*/10 2 * * *", "0 0-4 * * *". So a daily rule stays daily and an hourly one stays hourly.</item>
/// </list>
/// <para>A fixed interval knows no clocks: its instants are equally far apart for ever.</para>
/// <example>
/// <code>
/// new ScheduleSpec { Cron = "30 2 * * *", TimeZone = "Europe/Berlin" }
/// new ScheduleSpec { Cron = "15 0 9 * * MON-FRI" }                                  // 09:00:15 on workdays, UTC
/// new ScheduleSpec { Every = TimeSpan.FromHours(6), Offset = TimeSpan.FromHours(1) } // 01:00, 07:00, 13:00, 19:00 UTC
/// new ScheduleSpec { Cron = "0 9 * * *", Also = [new() { Cron = "0 12 1 * *" }], Jitter = TimeSpan.FromMinutes(5) }
/// </code>
/// </example>
/// </remarks>
public sealed record ScheduleSpec
{
    /// <summary>The most rules that <see cref="Also"/> takes.</summary>
    public const int MostRules = 20;

    /// <summary>Five fields, or six with seconds first. Either this or <see cref="Every"/>.</summary>
    public string? Cron { get; init; }

    /// <summary>The zone of <see cref="Cron"/>, as in the IANA database. Default UTC.</summary>
    public string TimeZone { get; init; } = "UTC";

    /// <summary>A fixed interval; at least 1 s, in whole milliseconds.</summary>
    public TimeSpan? Every { get; init; }

    /// <summary>
    /// Moves the interval's instants from multiples since 1970. Default 0; at least 0 and less than <see cref="Every"/>, in whole
    /// milliseconds.
    /// </summary>
    public TimeSpan Offset { get; init; }

    /// <summary>The first instant at which it may occur. Default none; from 1970 to 2499.</summary>
    public DateTimeOffset? StartAt { get; init; }

    /// <summary>The first instant at which it may not occur any more. Default none; from 1970 to 2499, after <see cref="StartAt"/>.</summary>
    public DateTimeOffset? EndAt { get; init; }

    /// <summary>
    /// More rules: it occurs when any of them does, once where several do. Default none; at most 20, which have no Delay, Jitter
    /// and Also of their own. <see cref="StartAt"/> and <see cref="EndAt"/> hold for all; a rule may narrow them.
    /// </summary>
    public IReadOnlyList<ScheduleSpec> Also { get; init; } = [];

    /// <summary>How long after an occurrence its run starts. Default 0; from 0 to 366 days.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>
    /// The start is later by a part of this that differs by schedule and occurrence, and is the same whoever computes it. An
    /// occurrence still never starts before an earlier one. Default 0; from 0 to 366 days.
    /// </summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Throws when the rule is not valid, saying why.</summary>
    /// <exception cref="ArgumentException">The rule is not valid.</exception>
    public ScheduleSpec Validate()
    {
        if ((Cron is null) == (Every is null))
        {
            throw new ArgumentException("Give either Cron or Every.", nameof(Cron));
        }

        if (Every is { } every && (every < TimeSpan.FromSeconds(1) || !WholeMilliseconds(every)))
        {
            throw new ArgumentException($"Every must be at least 1 s, in whole milliseconds; it is {every}.", nameof(Every));
        }

        if (Offset < TimeSpan.Zero || !WholeMilliseconds(Offset) || (Every is { } cycle ? Offset >= cycle : Offset != TimeSpan.Zero))
        {
            throw new ArgumentException(
                $"Offset must be at least 0 and less than Every, in whole milliseconds; it is {Offset}.", nameof(Offset));
        }

        if (StartAt >= EndAt)
        {
            throw new ArgumentException($"EndAt must be after StartAt, {StartAt:O}; it is {EndAt:O}.", nameof(EndAt));
        }

        From1970To2499(StartAt, nameof(StartAt));
        From1970To2499(EndAt, nameof(EndAt));
        UpToAYear(Delay, nameof(Delay));
        UpToAYear(Jitter, nameof(Jitter));
        if (Cron is not null)
        {
            Occurrences.Zone(TimeZone);
            Occurrences.Parse(Cron);
        }

        if (Also.Count > MostRules)
        {
            throw new ArgumentException($"Also must have at most {MostRules} rules; it has {Also.Count}.", nameof(Also));
        }

        foreach (var rule in Also)
        {
            if (rule.Also.Count > 0 || rule.Delay != TimeSpan.Zero || rule.Jitter != TimeSpan.Zero)
            {
                throw new ArgumentException("A rule in Also must have no Delay, Jitter and Also of its own.", nameof(Also));
            }

            rule.Validate();
        }

        return this;
    }

    private static bool WholeMilliseconds(TimeSpan value) => value.Ticks % TimeSpan.TicksPerMillisecond == 0;

    private static void From1970To2499(DateTimeOffset? value, string name)
    {
        if (value is { UtcDateTime.Year: < 1970 or > 2499 })
        {
            throw new ArgumentException($"{name} must be from 1970 to 2499; it is {value:O}.", name);
        }
    }

    private static void UpToAYear(TimeSpan value, string name)
    {
        if (value < TimeSpan.Zero || value > TimeSpan.FromDays(366))
        {
            throw new ArgumentException($"{name} must be from 0 to 366 days; it is {value}.", name);
        }
    }
}
