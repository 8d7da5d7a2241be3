using CsCheck;
using Exporter.Engine.Scheduling;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>Occurrences against an oracle that shares no code with them, not even the time zones.</summary>
public sealed class OracleTests
{
    // Northern and southern; by an hour, half an hour and a whole day; at midnight; with winter time as the exception; rules that changed; none.
    private static readonly string[] Zones =
    [
        "UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo",
        "America/Santiago", "Australia/Lord_Howe", "Australia/Adelaide", "Pacific/Auckland", "Pacific/Chatham", "Asia/Kathmandu",
        "Asia/Tokyo", "America/Havana", "Asia/Beirut", "Africa/Casablanca", "Asia/Pyongyang", "Pacific/Apia", "Europe/Istanbul",
    ];

    // Days on which the clocks of some of these change, so that a random range is often at one.
    private static readonly DateTimeOffset[] Changes =
    [
        Day(2024, 3, 10), Day(2024, 3, 31), Day(2024, 4, 7), Day(2024, 9, 8), Day(2024, 9, 29), Day(2024, 10, 6), Day(2024, 10, 27),
        Day(2024, 11, 3), Day(2017, 10, 15), Day(2018, 2, 18), Day(2024, 2, 28), Day(2023, 12, 31), Day(2025, 4, 6), Day(2025, 10, 5),
        Day(2011, 12, 30), Day(2015, 8, 15), Day(2018, 5, 5), Day(2016, 3, 27),
    ];

    // 7 is Sunday too.
    private static readonly Gen<CronField> Weekday = Field(0, 7).Select(
        field => field with { Matches = field.Matches.Select(day => day % 7).ToHashSet() });

    private static readonly Gen<CronOracle> Crons = Gen.Select(
        Field(0, 59), Field(0, 59), Field(0, 23), Rare(Field(1, 31)), Rare(Field(1, 12)), Rare(Weekday),
        (second, minute, hour, day, month, weekday) => new CronOracle(second, minute, hour, day, month, weekday));

    [Test]
    public void Occurrences_are_those_of_an_independent_oracle_for_any_rule_zone_and_range() => Gen.Select(
        Crons, Gen.Bool, Gen.Int[0, Zones.Length - 1].Select(n => Zones[n]), Gen.Int[0, Changes.Length - 1].Select(n => Changes[n]), Gen.Int[-100_000, 100_000], Gen.Int[1, 2_500]).Sample(
        (cron, seconds, zone, change, shift, minutes) =>
        {
            var start = change.AddSeconds(shift);
            var end = start.AddMinutes(minutes);
            var spec = new ScheduleSpec { Cron = cron.Cron(seconds), TimeZone = zone }.Validate();
            var expected = cron.Between(zone, seconds, start, end);
            Assert.That(
                Occurrences.Between(spec, start, end).Take(expected.Count + 1), Is.EqualTo(expected), $"{spec.Cron} in {zone} from {start:O} to {end:O}");
        },
        iter: 2_000);

    [Test]
    public void Years_of_a_daily_rule_are_those_of_the_oracle_in_every_zone([ValueSource(nameof(Zones))] string zone)
    {
        var (start, end) = (Day(2015, 1, 1), Day(2026, 1, 1));
        var oracle = new CronOracle(One(0), One(30), new CronField("0,1,2,3", new HashSet<int> { 0, 1, 2, 3 }, false), All(1, 31), All(1, 12), All(0, 6));
        var spec = new ScheduleSpec { Cron = oracle.Cron(false), TimeZone = zone }.Validate();
        Assert.That(Occurrences.Between(spec, start, end), Is.EqualTo(oracle.Between(zone, false, start, end)));
    }

    private static DateTimeOffset Day(int year, int month, int day) => new(year, month, day, 0, 0, 0, TimeSpan.Zero);

    private static CronField One(int value) => new($"{value}", new HashSet<int> { value }, false);

    private static CronField All(int least, int most) => new("*", Numbers(least, most, 1), true);

    private static HashSet<int> Numbers(int least, int most, int step) =>
        [.. Enumerable.Range(least, most - least + 1).Where(value => (value - least) % step == 0)];

    /// <summary>Mostly a star: a rule that matches nothing in the range shows nothing.</summary>
    private static Gen<CronField> Rare(Gen<CronField> field) =>
        Gen.Frequency((3, Gen.Const(new CronField("*", new HashSet<int>(Enumerable.Range(0, 60)), true))), (1, field));

    private static Gen<CronField> Field(int least, int most)
    {
        var number = Gen.Int[least, most];
        return Gen.Frequency(
            (2, Gen.Const(All(least, most))),
            (3, number.Select(One)),
            (2, number.Array[2, 5].Select(values => new CronField(string.Join(',', values), values.ToHashSet(), false))),
            (2, Gen.Select(number, number, (a, b) => (From: Math.Min(a, b), To: Math.Max(a, b))).Select(
                range => new CronField($"{range.From}-{range.To}", Numbers(range.From, range.To, 1), true))),
            (2, Gen.Select(number, Gen.Int[2, Math.Min(15, most - least)], (from, step) => new CronField($"{from}/{step}", Numbers(from, most, step), true))),
            (1, Gen.Int[2, Math.Min(15, most - least)].Select(step => new CronField($"*/{step}", Numbers(least, most, step), true))));
    }
}
