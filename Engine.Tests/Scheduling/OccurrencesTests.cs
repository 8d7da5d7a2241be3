using CsCheck;
using Exporter.Engine.Scheduling;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>Instants of rules: no gap, no overlap, over every change of the clocks.</summary>
public sealed class OccurrencesTests
{
    private static readonly DateTimeOffset Start = new(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Test]
    public void Instants_of_an_interval_are_evenly_spaced() => Gen.Select(Gen.Int[1, 100_000], Gen.Int[0, 99_999], Gen.Int[0, 100_000_000]).Sample(
        (every, offset, at) =>
        {
            var spec = new ScheduleSpec { Every = TimeSpan.FromSeconds(every), Offset = TimeSpan.FromSeconds(offset % every) }.Validate();
            var time = Start.AddSeconds(at);
            var next = Occurrences.After(spec, time)!.Value;
            Assert.That(next, Is.GreaterThan(time));
            Assert.That(next - time, Is.LessThanOrEqualTo(spec.Every!.Value));
            Assert.That(Occurrences.After(spec, next) - next, Is.EqualTo(spec.Every));
            Assert.That(Occurrences.Before(spec, next), Is.EqualTo(next - spec.Every!.Value));
        });

    [Test]
    public void Before_is_the_inverse_of_after() => Gen.Select(
        Gen.OneOf(new[] { "*/5 * * * *", "0 3 * * *", "30 2 * * 0", "0 0 1 * *", "15 1,13 * * 1-5", "0 12 29 2 *" }.Select(Gen.Const).ToArray()),
        Gen.OneOf(new[] { "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe" }.Select(Gen.Const).ToArray()),
        Gen.Int[0, 80_000_000]).Sample(
        (cron, zone, at) =>
        {
            var spec = new ScheduleSpec { Cron = cron, TimeZone = zone }.Validate();
            var first = Occurrences.After(spec, Start.AddSeconds(at))!.Value;
            var second = Occurrences.After(spec, first)!.Value;
            Assert.That(Occurrences.Before(spec, second), Is.EqualTo(first));
        },
        iter: 200);

    [Test]
    public void An_hourly_rule_has_every_hour_of_the_days_when_clocks_change()
    {
        var spec = new ScheduleSpec { Cron = "0 * * * *", TimeZone = "Europe/Berlin" };
        var time = new DateTimeOffset(2026, 3, 28, 0, 0, 0, TimeSpan.Zero);
        for (var hour = 1; hour <= 72; hour++)
        {
            var next = Occurrences.After(spec, time)!.Value;
            Assert.That(next - time, Is.EqualTo(TimeSpan.FromHours(1)));
            time = next;
        }
    }

    // Forward by an hour, by an hour, by half an hour, and where winter time is the exception.
    [TestCase("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00Z", "2026-03-29T01:00Z")]
    [TestCase("0,15,30 2,3 * * *", "America/New_York", "2026-03-08T06:00Z", "2026-03-08T07:00Z 2026-03-08T07:15Z 2026-03-08T07:30Z")]
    [TestCase("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00Z", "2026-10-03T15:30Z")]
    [TestCase("30 1 * * *", "Europe/Dublin", "2026-03-29T00:00Z", "2026-03-29T01:00Z")]
    [TestCase("*/20 * * * *", "Europe/Berlin", "2026-03-29T00:30Z", "2026-03-29T00:40Z 2026-03-29T01:00Z 2026-03-29T01:20Z")]
    public void Local_times_that_do_not_exist_occur_once_right_after_the_gap(string cron, string zone, string from, string expected) =>
        OccursAt(cron, zone, from, TimeSpan.FromHours(1.8), expected);

    [TestCase("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00Z", "2026-10-25T00:30Z")]
    [TestCase("0,30 1 * * *", "America/New_York", "2026-11-01T05:00Z", "2026-11-01T05:00Z 2026-11-01T05:30Z")]
    [TestCase("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:00Z", "2026-04-04T14:45Z")]
    [TestCase("30 1 * * *", "Europe/Dublin", "2026-10-25T00:00Z", "2026-10-25T00:30Z")]
    public void A_fixed_local_time_that_comes_twice_occurs_the_first_time_only(string cron, string zone, string from, string expected) =>
        OccursAt(cron, zone, from, TimeSpan.FromHours(3), expected);

    [TestCase("30 * * * *", "Europe/Berlin", "2026-10-25T00:00Z", "2026-10-25T00:30Z 2026-10-25T01:30Z 2026-10-25T02:30Z")]
    [TestCase("0 0-1 * * *", "America/New_York", "2026-11-01T04:00Z", "2026-11-01T04:00Z 2026-11-01T05:00Z 2026-11-01T06:00Z")]
    [TestCase("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:30Z", "2026-04-04T14:30Z 2026-04-04T14:45Z 2026-04-04T15:00Z 2026-04-04T15:15Z")]
    public void A_rule_with_a_star_a_range_or_a_step_occurs_both_times(string cron, string zone, string from, string expected) =>
        OccursAt(cron, zone, from, TimeSpan.FromHours(3), expected);

    [Test]
    public void A_leap_day_comes_in_leap_years_only()
    {
        var spec = new ScheduleSpec { Cron = "0 0 29 2 *" }.Validate();
        Assert.That(
            Occurrences.Between(spec, new(1996, 1, 1, 0, 0, 0, TimeSpan.Zero), new(2110, 1, 1, 0, 0, 0, TimeSpan.Zero)).Select(time => time.Year),
            Is.EqualTo(Enumerable.Range(1996, 114).Where(DateTime.IsLeapYear)));
    }

    [Test]
    public void A_date_that_never_comes_has_no_occurrence() =>
        Assert.That(Occurrences.After(new ScheduleSpec { Cron = "0 0 30 2 *", TimeZone = "Europe/Berlin" }.Validate(), Start), Is.Null);

    [Test]
    public void Bounds_are_half_open()
    {
        var spec = new ScheduleSpec { Every = TimeSpan.FromHours(1), StartAt = Start, EndAt = Start.AddHours(3) }.Validate();
        Assert.That(
            Occurrences.Between(spec, Start.AddDays(-9), Start.AddDays(9)),
            Is.EqualTo(new[] { Start, Start.AddHours(1), Start.AddHours(2) }));
        Assert.That(Occurrences.Before(spec, Start.AddDays(9)), Is.EqualTo(Start.AddHours(2)));
        Assert.That(Occurrences.Before(spec, Start), Is.Null);
    }

    [Test]
    public void Several_rules_occur_whenever_one_does_and_once_where_two_do()
    {
        var spec = new ScheduleSpec { Cron = "0 */2 * * *", Also = [new() { Every = TimeSpan.FromHours(3) }, new() { Cron = "30 5 * * *" }] }.Validate();
        Assert.That(
            Occurrences.Between(spec, Start, Start.AddHours(8)).Select(time => (time - Start).TotalHours),
            Is.EqualTo(new[] { 0, 2, 3, 4, 5.5, 6 }));
        Assert.That(Occurrences.Before(spec, Start.AddHours(6)), Is.EqualTo(Start.AddHours(5.5)));
    }

    [Test]
    public void Jitter_is_within_its_bounds_the_same_for_all_and_spread() => Gen.Select(Gen.Int[0, 10_000], Gen.Int[0, 10_000], Gen.String).Sample(
        (delay, jitter, id) =>
        {
            var spec = new ScheduleSpec { Cron = "* * * * *", Delay = TimeSpan.FromSeconds(delay), Jitter = TimeSpan.FromSeconds(jitter) }.Validate();
            var late = Enumerable.Range(0, 40)
                .Select(minute => Occurrences.StartOf(id, spec, Start.AddMinutes(minute)) - Start.AddMinutes(minute) - spec.Delay).ToList();
            Assert.That(late, Has.All.InRange(TimeSpan.Zero, spec.Jitter));
            Assert.That(late[7], Is.EqualTo(Occurrences.StartOf(id, spec, Start.AddMinutes(7)) - Start.AddMinutes(7) - spec.Delay));
            Assert.That(late.Max() - late.Min(), Is.GreaterThanOrEqualTo(spec.Jitter / 3), "spread");
        },
        iter: 200);

    [Test]
    public void A_rule_out_of_range_is_refused_by_name()
    {
        Refused(new() { Every = TimeSpan.FromSeconds(0.5) }, "Every must be at least 1 s");
        Refused(new() { Every = TimeSpan.FromSeconds(5), Offset = TimeSpan.FromSeconds(5) }, "Offset must be at least 0 and less than Every");
        Refused(new() { Cron = "* * * * *", Every = TimeSpan.FromSeconds(5) }, "Give either Cron or Every");
        Refused(new() { Cron = "* * * * *", StartAt = Start, EndAt = Start }, "EndAt must be after StartAt");
        Refused(new() { Cron = "* * * * *", Jitter = TimeSpan.FromDays(400) }, "Jitter must be from 0 to 366 days; it is 400");
        Refused(new() { Cron = "* * * * *", Also = [new() { Cron = "* * * * *", Delay = TimeSpan.FromDays(1) }] }, "no Delay, Jitter and Also");

        static void Refused(ScheduleSpec spec, string why) => Assert.That(spec.Validate, Throws.ArgumentException.With.Message.Contain(why));
    }

    [TestCase("61 * * * *")]
    [TestCase("every day")]
    [TestCase("")]
    public void A_malformed_cron_expression_is_refused_and_shown(string cron) =>
        Assert.That(() => new ScheduleSpec { Cron = cron }.Validate(), Throws.ArgumentException.With.Message.Contain($"\"{cron}\" is no cron expression"));

    [Test]
    public void An_unknown_zone_is_refused() => Assert.That(
        () => new ScheduleSpec { Cron = "0 0 * * *", TimeZone = "Mars/Olympus" }.Validate(), Throws.ArgumentException.With.Message.Contain("Mars/Olympus"));

    private static void OccursAt(string cron, string zone, string from, TimeSpan length, string expected)
    {
        var start = Instant(from);
        var found = Occurrences.Between(new ScheduleSpec { Cron = cron, TimeZone = zone }.Validate(), start, start + length);
        var times = expected.Split(' ').Select(Instant).ToList();
        Assert.That(found.Take(times.Count), Is.EqualTo(times));
        Assert.That(found.Skip(times.Count).Where(time => time < times[^1] + TimeSpan.FromMinutes(15)), Is.Empty);
    }

    private static DateTimeOffset Instant(string text) =>
        DateTimeOffset.ParseExact(text, "yyyy-MM-ddTHH:mmZ", System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.AssumeUniversal);
}
