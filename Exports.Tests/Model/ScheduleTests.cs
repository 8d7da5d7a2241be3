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
            .Select((cron, zone) => new ExportSchedule { Cron = cron, TimeZone = zone }));

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
