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

    [TestCase("61 * * * *")]
    [TestCase("every day")]
    [TestCase("")]
    public void A_malformed_cron_expression_is_refused_and_shown(string cron) =>
        Assert.That(() => new ScheduleSpec { Cron = cron }.Validate(), Throws.ArgumentException.With.Message.Contain($"\"{cron}\" is no cron expression"));

    [Test]
    public void An_unknown_zone_is_refused() => Assert.That(
        () => new ScheduleSpec { Cron = "0 0 * * *", TimeZone = "Mars/Olympus" }.Validate(), Throws.ArgumentException.With.Message.Contain("Mars/Olympus"));
}
