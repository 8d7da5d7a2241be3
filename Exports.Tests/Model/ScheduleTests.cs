using CsCheck;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

public sealed class ScheduleTests
{
    private static readonly Gen<ExportSchedule> Schedules = Gen.OneOf(
        OneOf("1m", "5m", "15m", "1h", "7h", "1d", "1w", "2w").Select(Gen.Double[0, 0.999]).Select((every, part) =>
        {
            Duration.TryParse(every, out var length);
            return new ExportSchedule { Every = length, Offset = TimeSpan.FromSeconds(Math.Floor(length.TotalSeconds * part)) };
        }),
        OneOf("*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 * * 1", "15,45 1-3 * * *", "0 0 1 * *", "*/30 * * * * *")
            .Select(OneOf("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"))
            .Select((cron, zone) => new ExportSchedule { Cron = cron, TimeZone = zone }),
        Gen.Enum<CalendarUnit>().Select(Gen.Double[0, 0.999], OneOf("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"))
            .Select((unit, part, zone) => new ExportSchedule
            {
                Calendar = unit,
                TimeZone = zone,
                Offset = TimeSpan.FromSeconds(Math.Floor(part * (unit switch
                {
                    CalendarUnit.Hour => 3600,
                    CalendarUnit.Day => 86_400,
                    CalendarUnit.Week => 7 * 86_400,
                    _ => 28 * 86_400,
                }))),
            }));

    private static readonly Gen<DateTimeOffset> Times =
        Gen.Long[0, 40L * 365 * 86_400].Select(seconds => DateTimeOffset.UnixEpoch.AddYears(20).AddSeconds(seconds));

    private static Gen<string> OneOf(params string[] values) => Gen.Int[0, values.Length - 1].Select(index => values[index]);

    [Test]
    public void Intervals_tile_time_over_every_change_of_the_clocks() => Check.Sample(
        Gen.Select(Schedules, Times),
        (schedule, time) =>
        {
            schedule.Validate();
            var boundary = schedule.BoundaryAfter(time)!.Value;
            for (var i = 0; i < 30; i++)
            {
                var next = schedule.BoundaryAfter(boundary)!.Value;
                Assert.That(schedule.IntervalFor(next), Is.EqualTo(new DataInterval(boundary, next)), schedule.ToString());
                Assert.That(schedule.IsBoundary(next), Is.True);
                Assert.That(schedule.LastIntervalUntil(next), Is.EqualTo(new DataInterval(boundary, next)));
                Assert.That(schedule.LastIntervalUntil(next.AddTicks(-1)).End, Is.EqualTo(boundary));
                boundary = next;
            }
        },
        iter: 300);

    [Test]
    public void Intervals_tile_time_over_changes_of_the_schedule_pauses_and_backfills() => Check.Sample(
        Gen.Select(Schedules, Times, Gen.Select(Schedules, Gen.Double[0, 6], Gen.Double[0, 2], Gen.Bool).Array[0, 8]),
        (first, time, changes) =>
        {
            var schedule = first;
            var begun = first.BoundaryAfter(time)!.Value;
            var (now, decided, paused) = (begun, begun, false);
            List<DataInterval> fired = [], skipped = [];
            foreach (var (next, wait, lag, pause) in changes)
            {
                // The clock goes on for some intervals of the schedule; the engine decides what is due with some delay.
                var length = schedule.BoundaryAfter(now)!.Value - (schedule.BoundaryBefore(now.AddTicks(1)) ?? now);
                now += TimeSpan.FromSeconds(Math.Ceiling(length.TotalSeconds * wait) + 1);
                Decide(now - TimeSpan.FromSeconds(Math.Floor(length.TotalSeconds * lag)));
                paused = pause;
                schedule = schedule.ChangedTo(next, schedule.BoundaryAfter(decided), now);
                _ = schedule.ToSpec().Validate();
                Assert.That(schedule.BoundaryAfter(now), Is.EqualTo(Exporter.Engine.Scheduling.Occurrences.After(schedule.ToSpec(), decided)), "what the engine fires next");
            }

            paused = false;
            Decide(schedule.BoundaryAfter(schedule.BoundaryAfter(now)!.Value)!.Value);

            var all = fired.Concat(skipped).OrderBy(interval => interval.Start).ToList();
            Assert.That(all, Is.Not.Empty);
            Assert.That(all[0].Start, Is.EqualTo(begun));
            Assert.That(all.Skip(1).Select(interval => interval.Start), Is.EqualTo(all.SkipLast(1).Select(interval => interval.End)), "no gap, no overlap");
            Assert.That(schedule.IntervalsOf(new(begun, all[^1].End)), Is.EqualTo(all), "a backfill of it all is cut alike");
            Assert.That(all, Has.All.Matches<DataInterval>(interval => schedule.IsBoundary(interval!.Start) && schedule.IsBoundary(interval.End)));

            void Decide(DateTimeOffset until)
            {
                while (schedule.BoundaryAfter(decided) is { } occurrence && occurrence <= until)
                {
                    (paused ? skipped : fired).Add(schedule.IntervalFor(occurrence));
                    decided = occurrence;
                }
            }
        },
        iter: 400);

    [Test]
    public void Bounds_are_kept_and_the_first_interval_begins_at_the_start() => Check.Sample(
        Gen.Select(Schedules, Times, Gen.Double[0.1, 20]),
        (schedule, start, lengths) =>
        {
            var length = schedule.BoundaryAfter(start)!.Value - (schedule.BoundaryBefore(start) ?? start.AddDays(-31));
            var end = start + TimeSpan.FromSeconds(Math.Ceiling(length.TotalSeconds * lengths));
            var bounded = (schedule with { Start = start, End = end }).Validate();
            var occurrences = Exporter.Engine.Scheduling.Occurrences.Between(bounded.ToSpec(), DateTimeOffset.UnixEpoch, DateTimeOffset.MaxValue).ToList();
            var intervals = occurrences.Select(bounded.IntervalFor).ToList();
            Assert.That(intervals.Select(interval => interval.Start), Is.EqualTo(intervals.Select(interval => interval.End).Prepend(start).SkipLast(1)));
            Assert.That(occurrences, Has.All.LessThanOrEqualTo(end).And.All.GreaterThan(start));
            Assert.That(bounded.BoundaryBefore(start), Is.Null);
            Assert.That(bounded.BoundaryAfter(end), Is.Null);
            Assert.That(bounded.BoundaryAfter(start.AddYears(-1)), Is.EqualTo(start));
            Assert.That(schedule.BoundaryAfter(occurrences.Count > 0 ? occurrences[^1] : start), Is.GreaterThan(end), "none is left out at the end");
        },
        iter: 200);

    [Test]
    public void Units_of_the_calendar_follow_the_clocks()
    {
        ExportSchedule Of(CalendarUnit unit, TimeSpan offset = default) => new() { Calendar = unit, TimeZone = "Europe/Berlin", Offset = offset };
        DateTimeOffset At(string time) => DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture);
        Assert.That(Of(CalendarUnit.Day).IntervalFor(At("2026-03-30T00:00+02:00")), Is.EqualTo(new DataInterval(At("2026-03-29T00:00+01:00"), At("2026-03-30T00:00+02:00"))), "23 hours");
        Assert.That(Of(CalendarUnit.Month).LastIntervalUntil(At("2026-04-15T00:00Z")), Is.EqualTo(new DataInterval(At("2026-03-01T00:00+01:00"), At("2026-04-01T00:00+02:00"))));
        Assert.That(Of(CalendarUnit.Month, TimeSpan.FromHours(51)).BoundaryAfter(At("2026-02-01T00:00Z")), Is.EqualTo(At("2026-02-03T03:00+01:00")));
        Assert.That(Of(CalendarUnit.Week).BoundaryAfter(At("2026-11-24T00:00Z")), Is.EqualTo(At("2026-11-30T00:00+01:00")), "Monday");
        Assert.That(Of(CalendarUnit.Week, TimeSpan.FromDays(6)).BoundaryAfter(At("2026-11-24T00:00Z")), Is.EqualTo(At("2026-11-29T00:00+01:00")), "Sunday");
        Assert.That(Of(CalendarUnit.Hour).IntervalsOf(new(At("2026-10-25T00:00+02:00"), At("2026-10-26T00:00+01:00"))).Count(), Is.EqualTo(25));
        Assert.That(Of(CalendarUnit.Day, TimeSpan.FromMinutes(150)).BoundaryAfter(At("2026-03-28T12:00Z")), Is.EqualTo(At("2026-03-29T03:00+02:00")), "02:30 is not there");
    }

    [Test]
    public void Only_so_many_earlier_schedules_are_remembered()
    {
        var schedule = new ExportSchedule { Every = TimeSpan.FromMinutes(5) };
        var now = new DateTimeOffset(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);
        for (var i = 0; i < 100; i++)
        {
            now = now.AddHours(1);
            schedule = schedule.ChangedTo(new ExportSchedule { Every = TimeSpan.FromMinutes(i % 2 == 0 ? 7 : 5) }, schedule.BoundaryAfter(now), now);
        }

        var count = 0;
        for (var earlier = schedule.Earlier; earlier is not null; earlier = earlier.Earlier)
        {
            count++;
        }

        Assert.That(count, Is.EqualTo(ExportSchedule.MostEarlier));
        Assert.That(ExportJson.Read<ExportSchedule>(ExportJson.Write(schedule)), Is.EqualTo(schedule));
        Assert.That(schedule.BoundaryBefore(now.AddYears(-1)), Is.Not.Null);
    }

    [Test]
    public void A_backfill_is_cut_at_the_boundaries_in_order() => Check.Sample(
        Gen.Select(Schedules, Times, Gen.Int[1, 40]),
        (schedule, time, count) =>
        {
            var start = schedule.BoundaryAfter(time)!.Value;
            var end = Enumerable.Range(0, count).Aggregate(start, (last, _) => schedule.BoundaryAfter(last)!.Value);
            var backfill = new Backfill { BatchExportId = Guid.Empty, Range = new(start, end) };
            var intervals = backfill.Intervals(schedule, end);
            Assert.That(intervals, Has.Count.EqualTo(count));
            Assert.That(intervals[0].Start, Is.EqualTo(start));
            Assert.That(intervals[^1].End, Is.EqualTo(end));
            Assert.That(intervals.Skip(1).Select(interval => interval.Start), Is.EqualTo(intervals.SkipLast(1).Select(interval => interval.End)));
            Assert.That(intervals, Is.EqualTo(intervals.Select(interval => schedule.IntervalFor(interval.End))));
        },
        iter: 200);

    [Test]
    public void Weeks_begin_on_Monday_and_days_at_midnight()
    {
        var monday = new DateTimeOffset(2026, 11, 23, 0, 0, 0, TimeSpan.Zero);
        Assert.That(new ExportSchedule { Every = TimeSpan.FromDays(7) }.IntervalFor(monday).Start, Is.EqualTo(monday.AddDays(-7)));
        Assert.That(new ExportSchedule { Every = TimeSpan.FromDays(1) }.IntervalFor(monday).Start, Is.EqualTo(monday.AddDays(-1)));
        var late = new ExportSchedule { Every = TimeSpan.FromDays(1), Offset = TimeSpan.FromHours(3) };
        Assert.That(late.LastIntervalUntil(monday).End, Is.EqualTo(monday.AddHours(-21)));
    }

    [Test]
    public void A_backfill_ends_at_present_and_at_boundaries()
    {
        var hourly = new ExportSchedule { Every = TimeSpan.FromHours(1) };
        var noon = new DateTimeOffset(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);
        Backfill Of(DateTimeOffset start, DateTimeOffset end) => new() { BatchExportId = Guid.Empty, Range = new(start, end) };
        Assert.That(() => Of(noon.AddHours(-1), noon).Intervals(hourly, noon.AddTicks(-1)), Setting("end"));
        Assert.That(() => Of(noon.AddMinutes(-90), noon).Intervals(hourly, noon), Setting("start"));
        Assert.That(() => Of(noon.AddHours(-1), noon.AddMinutes(-1)).Intervals(hourly, noon), Setting("end"));
        Assert.That(() => Of(noon.AddYears(-20), noon).Intervals(hourly, noon), Setting("start"));
        Assert.That(() => (Of(noon.AddHours(-1), noon) with { Parallel = 0 }).Intervals(hourly, noon), Setting("parallel"));
    }

    [Test]
    public void What_is_no_schedule_is_refused_by_setting()
    {
        Assert.That(() => new ExportSchedule().Validate(), Setting("every"));
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromSeconds(59) }.Validate(), Setting("every"));
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromDays(3), Cron = "* * * * *" }.Validate(), Setting("every"));
        Assert.That(() => new ExportSchedule { Cron = "61 * * * *" }.Validate(), Setting("cron"));
        Assert.That(() => new ExportSchedule { Cron = "every day" }.Validate(), Setting("cron"));
        Assert.That(() => new ExportSchedule { Cron = "0 0 31 2 *" }.Validate(), Setting("cron"));
        Assert.That(() => new ExportSchedule { Cron = "* * * * *", TimeZone = "Mars/Olympus" }.Validate(), Setting("time_zone"));
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromHours(1), Offset = TimeSpan.FromHours(1) }.Validate(), Setting("offset"));
        Assert.That(() => new ExportSchedule { Cron = "* * * * *", Offset = TimeSpan.FromHours(1) }.Validate(), Setting("offset"));
        Assert.That(() => new ExportSchedule { Calendar = CalendarUnit.Day, Every = TimeSpan.FromHours(1) }.Validate(), Setting("every"));
        Assert.That(() => new ExportSchedule { Calendar = CalendarUnit.Day, Offset = TimeSpan.FromDays(1) }.Validate(), Setting("offset"));
        Assert.That(() => new ExportSchedule { Calendar = CalendarUnit.Month, Offset = TimeSpan.FromDays(28) }.Validate(), Setting("offset"));
        Assert.That(() => new ExportSchedule { Calendar = CalendarUnit.Day, TimeZone = "Mars/Olympus" }.Validate(), Setting("time_zone"));
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromHours(1), TimeZone = "Europe/Berlin" }.Validate(), Setting("time_zone"));
        var day = new DateTimeOffset(2026, 11, 23, 0, 0, 0, TimeSpan.Zero);
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromHours(1), Start = day, End = day }.Validate(), Setting("end"));
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromHours(1), Start = day.AddTicks(1) }.Validate(), Setting("start"));
        Assert.That(() => new ExportSchedule { Every = TimeSpan.FromHours(1), SettleDelay = TimeSpan.FromDays(8) }.Validate(), Setting("settle_delay"));
    }

    [Test]
    public void A_schedule_survives_its_JSON() => Check.Sample(
        Schedules, schedule => Assert.That(ExportJson.Read<ExportSchedule>(ExportJson.Write(schedule)), Is.EqualTo(schedule)), iter: 200);

    [Test]
    public void Durations_are_written_as_they_are_read() => Check.Sample(Gen.Int[0, 100_000_000], seconds =>
    {
        Assert.That(Duration.TryParse(Duration.Format(TimeSpan.FromSeconds(seconds)), out var read), Is.True);
        Assert.That(read, Is.EqualTo(TimeSpan.FromSeconds(seconds)));
    });

    [TestCase("")]
    [TestCase("5")]
    [TestCase("m")]
    [TestCase("-5m")]
    [TestCase("5 m")]
    [TestCase("1.5h")]
    [TestCase("5x")]
    [TestCase("99999999999w")]
    [TestCase("2000000w")]
    public void What_is_no_duration_is_refused(string text) => Assert.That(Duration.TryParse(text, out _), Is.False);

    private static NUnit.Framework.Constraints.IResolveConstraint Setting(string name) =>
        Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(name);
}
