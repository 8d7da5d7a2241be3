using Exporter.Engine.Scheduling;

namespace Exporter.Engine.Tests.Examples;

public sealed class ScheduleExample
{
    [Test]
    public async Task A_schedule_starts_a_run_for_each_occurrence()
    {
        await using var engine = await Example.StartAsync(
            builder => builder.AddWorkflow<StepsExample.Order>("order"), new DateTimeOffset(2026, 3, 1, 0, 0, 0, TimeSpan.Zero));

        #region README schedules
        await engine.Schedules.PutAsync(
            new Schedule
            {
                Id = "nightly",
                Workflow = "order",
                Spec = new ScheduleSpec { Cron = "30 2 * * *", TimeZone = "Europe/Berlin" },
                Overlap = OverlapPolicy.BufferOne,
                CatchUpWindow = TimeSpan.FromHours(12),
            },
            input: 5);
        await engine.AdvanceAsync(TimeSpan.FromDays(7));
        var schedule = await engine.Schedules.DescribeAsync("nightly");
        Assert.That(schedule!.Recent.Count(occurrence => occurrence.Outcome == OccurrenceOutcome.Started), Is.EqualTo(7));
        #endregion
    }
}
