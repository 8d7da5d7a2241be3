using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

/// <summary>A schedule that is changed while it goes on, in the database.</summary>
internal sealed class RescheduleTests
{
    [Test]
    public async Task A_new_schedule_begins_where_the_old_ones_next_interval_would_have()
    {
        await using var database = await TestDatabase.NewAsync();
        await database.Destinations.CreateAsync(ModelFixture.Bucket(), "tester");
        var before = await database.Exports.CreateAsync(
            ModelFixture.Hourly() with { Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Paused = false, Note = null }, "bucket", "tester");
        var next = before.NextOccurrence!.Value;

        var after = await database.Exports.EditAsync("hourly", new BatchExportEdit { Schedule = new ExportSchedule { Every = TimeSpan.FromMinutes(15) } }, "tester");

        Assert.That(after.Schedule.Start, Is.EqualTo(next.AddDays(-1)));
        Assert.That(after.Schedule.Earlier, Is.EqualTo(before.Schedule));
        Assert.That(after.NextOccurrence, Is.GreaterThan(after.Schedule.FirstAfter!.Value).And.LessThanOrEqualTo(after.Schedule.FirstAfter!.Value.AddMinutes(15)));
        Assert.That(after.Schedule.IntervalFor(after.NextOccurrence!.Value).Start, Is.EqualTo(next.AddDays(-1)), "the day until now is one interval");
        Assert.That(after.Paused, Is.False);
        Assert.That((await database.Exports.GetAsync("hourly")).Schedule, Is.EqualTo(after.Schedule));

        // Changed again before it has fired: the one in between leaves no trace.
        var again = await database.Exports.EditAsync("hourly", new BatchExportEdit { Schedule = new ExportSchedule { Calendar = CalendarUnit.Month, TimeZone = "Europe/Berlin" } }, "tester");
        Assert.That(again.Schedule.Earlier, Is.EqualTo(before.Schedule));
        Assert.That(again.Schedule.Start, Is.EqualTo(next.AddDays(-1)));
    }

    [Test]
    public async Task A_paused_export_stays_paused_and_its_old_boundaries_stay()
    {
        await using var database = await TestDatabase.NewAsync();
        var before = await ModelFixture.NewHourlyAsync(database);
        var after = await database.Exports.EditAsync("hourly", new BatchExportEdit { Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) } }, "tester");
        Assert.That((after.Paused, after.Note, after.NextAt), Is.EqualTo((true, before.Note, (DateTimeOffset?)null)));
        Assert.That(() => after.Schedule.CheckBoundaries(ModelFixture.Hour(3)), Throws.Nothing, "for a backfill of what was before");
        await database.Exports.UnpauseAsync("hourly", "tester");
        Assert.That((await database.Exports.GetAsync("hourly")).NextOccurrence, Is.Not.Null);
    }

    [Test]
    public async Task What_is_no_schedule_changes_nothing()
    {
        await using var database = await TestDatabase.NewAsync();
        var before = await ModelFixture.NewHourlyAsync(database);
        await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync("hourly", new BatchExportEdit { Schedule = new ExportSchedule() }, "tester"));
        await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync(
            "hourly", new BatchExportEdit { Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1), Start = ModelFixture.Day } }, "tester"));
        await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync("nothing", new BatchExportEdit { Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) } }, "tester"));
        Assert.That((await database.Exports.GetAsync("hourly")).Schedule, Is.EqualTo(before.Schedule));
    }
}
