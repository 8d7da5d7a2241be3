using Exporter.Engine.Scheduling;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>What becomes of occurrences that nobody was there to fire, and of those of a pause.</summary>
public sealed class CatchUpTests
{
    private ScheduleBench _bench = null!;

    [SetUp]
    public async Task PrepareAsync() => _bench = await ScheduleBench.NewAsync();

    [TearDown]
    public async Task EndAsync()
    {
        await _bench.CheckRunsAsync();
        await _bench.DisposeAsync();
    }

    [Test]
    public async Task After_an_outage_what_is_within_the_window_is_fired_and_the_rest_skipped_with_the_reason()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll) with { CatchUpWindow = TimeSpan.FromHours(2) }, 5);
        await _bench.FireAtAsync(6.5);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 skipped, 2 skipped, 3 skipped, 4 skipped, 5 started, 6 started"));
        Assert.That(await _bench.ReasonOfAsync(4), Is.EqualTo("Missed by more than the catch-up window, 02:00:00."));
    }

    [Test]
    public async Task A_day_of_seconds_after_a_suspended_host_starts_one_run_and_every_second_has_its_outcome()
    {
        await _bench.Schedules.PutAsync(
            ScheduleBench.Hourly() with { Spec = new ScheduleSpec { Cron = "* * * * * *" }, CatchUpWindow = TimeSpan.FromMinutes(10) }, 5);
        await _bench.FireAtAsync(3);
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.runs"), Is.EqualTo(1), "no burst");
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.EqualTo(3 * 3600));
        Assert.That(
            await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where reason like 'Missed by more than the catch-up window%'"),
            Is.EqualTo((3 * 3600) - 601));
    }

    [Test]
    public async Task A_schedule_with_a_backlog_holds_up_no_other()
    {
        var seconds = ScheduleBench.Hourly() with { Spec = new ScheduleSpec { Every = TimeSpan.FromSeconds(1) } };
        await _bench.Schedules.PutAsync(seconds with { Id = "behind" }, 5);
        await _bench.Schedules.PutAsync(seconds with { Id = "behind too" }, 5);
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        await _bench.SetClockAsync(1);
        var firer = ScheduleBench.FirerOf(_bench.Database);
        for (var n = 0; n < 3; n++)
        {
            Assert.That(await firer.FireAsync(default), Is.True);
        }

        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where schedule_id = 's'"), Is.EqualTo(1));
        await _bench.FireAsync();
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.EqualTo(7201));
    }

    [Test]
    public async Task A_schedule_whose_clock_was_put_back_fires_nothing_twice()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.FireAtAsync(3);
        await _bench.FireAtAsync(1);
        await _bench.FireAtAsync(4);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started, 3 started, 4 started"));
    }

    [Test]
    public async Task Delay_and_jitter_put_off_the_start_and_the_window_counts_from_there()
    {
        var spec = new ScheduleSpec { Every = TimeSpan.FromHours(1), Delay = TimeSpan.FromMinutes(10), Jitter = TimeSpan.FromMinutes(20) };
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly() with { Spec = spec, CatchUpWindow = TimeSpan.Zero }, 5);
        var due = Occurrences.StartOf("s", spec, ScheduleBench.At(1));
        await _bench.FireAtAsync((due - ScheduleBench.Start).TotalHours - 0.001);
        Assert.That(await _bench.OutcomesAsync(), Is.Empty);
        await _bench.Database.ExecuteAsync("update engine.schedule set catch_up_window = '1 minute'");
        await _bench.FireAtAsync((due - ScheduleBench.Start).TotalHours + 0.001);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started"));
        Assert.That(await _bench.Database.ScalarAsync<DateTime>("select scheduled_for from engine.runs"), Is.EqualTo(ScheduleBench.At(1).UtcDateTime));
    }

    [Test]
    public async Task What_is_due_during_a_pause_is_skipped_with_the_reason_and_what_comes_after_is_not()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.FireAtAsync(1);
        Assert.That(await _bench.Schedules.PauseAsync("s", "Ann: quiet, please"), Is.True);
        Assert.That(await _bench.Database.ScalarAsync<string>("select note from engine.schedules where paused"), Is.EqualTo("Ann: quiet, please"));
        await _bench.FireAtAsync(3.5);
        await _bench.SetClockAsync(5.5);
        Assert.That(await _bench.Schedules.UnpauseAsync("s", "Ann: go on"), Is.True);
        Assert.That(await _bench.Database.ScalarAsync<string>("select note from engine.schedules where not paused"), Is.EqualTo("Ann: go on"));
        Assert.That((await _bench.Schedules.DescribeAsync("s"))!.Info.NextOccurrence, Is.EqualTo(ScheduleBench.At(6)));
        await _bench.FireAtAsync(6);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 skipped, 3 skipped, 4 skipped, 5 skipped, 6 started"));
        Assert.That(await _bench.ReasonOfAsync(4), Is.EqualTo("The schedule was paused."));
    }

    [Test]
    public async Task What_waits_goes_on_waiting_during_a_pause()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferOne), 5);
        await _bench.FireAtAsync(2);
        await _bench.Schedules.PauseAsync("s");
        await _bench.EndAsync(await _bench.RunOfAsync(1));
        await _bench.FireAsync();
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 buffered"));
        await _bench.Schedules.UnpauseAsync("s");
        await _bench.FireAsync();
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started"));
    }

    [Test]
    public async Task A_schedule_ends_at_its_end()
    {
        await _bench.Schedules.PutAsync(
            ScheduleBench.Hourly(OverlapPolicy.AllowAll) with { Spec = new ScheduleSpec { Every = TimeSpan.FromHours(1), StartAt = ScheduleBench.At(2), EndAt = ScheduleBench.At(4) } }, 5);
        await _bench.FireAtAsync(9);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("2 started, 3 started"));
        Assert.That((await _bench.Schedules.DescribeAsync("s"))!.Next, Is.Empty);
    }
}
