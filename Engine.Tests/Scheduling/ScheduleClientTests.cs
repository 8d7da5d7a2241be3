using Exporter.Engine.Scheduling;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>Triggers, backfills, changes, lists.</summary>
public sealed class ScheduleClientTests
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
    public async Task A_trigger_starts_a_run_now_beside_the_occurrence_of_the_same_time()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.FireAtAsync(1);
        var triggered = (await _bench.Schedules.TriggerAsync("s"))!;
        Assert.That((triggered.Outcome, triggered.Time, triggered.Cause), Is.EqualTo((OccurrenceOutcome.Started, ScheduleBench.At(1), OccurrenceCause.Trigger)));
        Assert.That(triggered.RunId, Is.Not.EqualTo(await _bench.RunOfAsync(1)));
        Assert.That(await _bench.OutcomesAsync("trigger"), Is.EqualTo("1 started"));
    }

    [TestCase(null, "skipped")]
    [TestCase(OverlapPolicy.BufferOne, "buffered")]
    [TestCase(OverlapPolicy.AllowAll, "started")]
    public async Task A_trigger_may_bring_a_policy_of_its_own(OverlapPolicy? policy, string expected)
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        await _bench.FireAtAsync(1);
        await _bench.Schedules.TriggerAsync("s", policy);
        Assert.That(await _bench.OutcomesAsync("trigger"), Is.EqualTo("1 " + expected));
    }

    [Test]
    public async Task A_trigger_repeated_with_its_request_id_is_one()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        var request = Guid.NewGuid();
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => _bench.Schedules.TriggerAsync("s", requestId: request)));
        await _bench.SetClockAsync(0.5);
        Assert.That((await _bench.Schedules.TriggerAsync("s", requestId: request))!.RunId, Is.EqualTo(answers[0]!.RunId));
        Assert.That(answers.Select(answer => answer!.RunId).Distinct().Count(), Is.EqualTo(1));
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.runs"), Is.EqualTo(1));
    }

    [TestCase(OverlapPolicy.Skip, 0)]
    [TestCase(OverlapPolicy.BufferOne, 1)]
    public async Task Of_ten_triggers_that_race_one_starts(OverlapPolicy policy, int waiting)
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(policy), 5);
        for (var round = 0; round < 10; round++)
        {
            var outcomes = (await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => _bench.Schedules.TriggerAsync("s")))).Select(one => one!.Outcome).ToList();
            Assert.That(outcomes.Count(one => one == OccurrenceOutcome.Started), Is.EqualTo(1), $"round {round}");
            Assert.That(outcomes.Count(one => one == OccurrenceOutcome.Buffered), Is.EqualTo(waiting), $"round {round}");
            while (await _bench.Database.ScalarAsync<Guid?>("select run_id from engine.live_run") is { } going)
            {
                await _bench.EndAsync(going);
                await _bench.FireAsync();
            }
        }
    }

    [Test]
    public async Task A_trigger_works_while_paused_also_from_the_buffer()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        await _bench.Schedules.PauseAsync("s");
        var first = (await _bench.Schedules.TriggerAsync("s"))!;
        await _bench.Schedules.TriggerAsync("s", OverlapPolicy.BufferAll);
        await _bench.EndAsync(first.RunId);
        await _bench.FireAsync();
        Assert.That(await _bench.OutcomesAsync("trigger"), Is.EqualTo("0 started, 0 started"));
    }

    [Test]
    public async Task A_backfill_covers_its_half_open_range_one_run_after_the_other()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        var request = Guid.NewGuid();
        var outcomes = (await _bench.Schedules.BackfillAsync("s", ScheduleBench.At(-4), ScheduleBench.At(-1), OverlapPolicy.BufferAll, request))!;
        Assert.That(outcomes.Select(one => (one.Time - ScheduleBench.Start).TotalHours), Is.EqualTo(new[] { -4, -3, -2 }));
        Assert.That(await _bench.OutcomesAsync("backfill"), Is.EqualTo("-4 started, -3 buffered, -2 buffered"));
        foreach (var hour in new[] { -4, -3, -2 })
        {
            await _bench.EndAsync(await _bench.Database.ScalarAsync<Guid>(
                "select run_id from engine.occurrences where occurrence = @At", new { At = ScheduleBench.At(hour) }));
            await _bench.FireAsync();
        }

        Assert.That(await _bench.OutcomesAsync("backfill"), Is.EqualTo("-4 started, -3 started, -2 started"));
        var again = (await _bench.Schedules.BackfillAsync("s", ScheduleBench.At(-4), ScheduleBench.At(-1), OverlapPolicy.BufferAll, request))!;
        Assert.That(again.Select(one => one.RunId), Has.None.Null.And.Count.EqualTo(3), "the same request is the same backfill");
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.runs"), Is.EqualTo(3));
    }

    [Test]
    public async Task A_backfill_of_what_was_fired_starts_runs_of_its_own()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.FireAtAsync(2);
        await _bench.Schedules.BackfillAsync("s", ScheduleBench.At(1), ScheduleBench.At(2), OverlapPolicy.AllowAll);
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.runs where scheduled_for = @At", new { At = ScheduleBench.At(1) }), Is.EqualTo(2));
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started"));
    }

    [Test]
    public async Task A_backfill_out_of_range_is_refused_and_leaves_nothing()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        await Refused(ScheduleBench.At(0), ScheduleBench.At(0), "end must be after start");
        await Refused(ScheduleBench.At(0), ScheduleBench.At(1), "not in the future");
        await Refused(ScheduleBench.At(-20_000), ScheduleBench.At(0), "more than 10000 occurrences");
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.Zero);
        Assert.That(await _bench.Schedules.BackfillAsync("none", ScheduleBench.At(-1), ScheduleBench.At(0), OverlapPolicy.Skip), Is.Null);

        async Task Refused(DateTimeOffset start, DateTimeOffset end, string why)
        {
            var error = await Assert.ThrowsAsync<ArgumentException>(() => _bench.Schedules.BackfillAsync("s", start, end, OverlapPolicy.AllowAll));
            Assert.That(error!.Message, Does.Contain(why));
        }
    }

    [Test]
    public async Task A_change_takes_over_without_a_past_of_its_own_and_keeps_what_was_due()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.SetClockAsync(2.25);
        await _bench.Schedules.PutAsync(
            ScheduleBench.Hourly(OverlapPolicy.AllowAll) with { Spec = new ScheduleSpec { Cron = "30 * * * *" }, Workflow = "other" }, 6);
        await _bench.FireAtAsync(3);
        var times = await _bench.Database.ScalarAsync<string>("select string_agg(to_char(occurrence at time zone 'UTC', 'HH24:MI'), ' ' order by occurrence) from engine.occurrences");
        Assert.That(times, Is.EqualTo("01:30 02:30"), "from the first undecided one on");
        Assert.That(await _bench.Database.ScalarAsync<string>("select distinct workflow from engine.runs"), Is.EqualTo("other"));
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly() with { Spec = new ScheduleSpec { Cron = "0 0 1 1 *" } }, 6);
        await _bench.SetClockAsync(1000);
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 6);
        await _bench.FireAsync();
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.EqualTo(2), "no hour of the time when it was yearly");
        await _bench.FireAtAsync(1001);
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.EqualTo(3));
    }

    [Test]
    public async Task Runs_of_a_schedule_have_its_concurrency_key_until_it_is_changed()
    {
        var keyed = ScheduleBench.Hourly(OverlapPolicy.AllowAll) with { ConcurrencyKey = "account 7", ConcurrencyLimit = 2 };
        await _bench.Schedules.PutAsync(keyed, 5);
        await _bench.FireAtAsync(2);
        await _bench.Schedules.TriggerAsync("s");
        await _bench.Schedules.PutAsync(keyed with { ConcurrencyKey = null }, 5);
        await _bench.FireAtAsync(3);
        Assert.That(
            await _bench.Database.ScalarAsync<string>("select string_agg(concat_ws(' x ', concurrency_key, concurrency_limit), ', ' order by created_at, run_id) from engine.runs"),
            Is.EqualTo("account 7 x 2, account 7 x 2, account 7 x 2, "));
        Assert.That((await _bench.Schedules.ListAsync())[0].Schedule.ConcurrencyKey, Is.Null);
        var error = await Assert.ThrowsAsync<ArgumentException>(() => _bench.Schedules.PutAsync(keyed with { ConcurrencyLimit = 0 }, 5));
        Assert.That(error!.Message, Does.Contain("ConcurrencyLimit must be from 1 to 10,000"));
    }

    [Test]
    public async Task A_change_of_the_policy_holds_for_what_comes()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        await _bench.FireAtAsync(2);
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.FireAtAsync(3);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 skipped, 3 started"));
    }

    [Test]
    public async Task A_description_shows_what_comes_and_what_came()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferOne), 5);
        await _bench.FireAtAsync(3.5);
        var shown = (await _bench.Schedules.DescribeAsync("s", next: 3, recent: 2))!;
        Assert.That(shown.Next, Is.EqualTo(new[] { ScheduleBench.At(4), ScheduleBench.At(5), ScheduleBench.At(6) }));
        Assert.That(shown.Recent.Select(one => (one.Time, one.Outcome)), Is.EqualTo(new[]
        {
            (ScheduleBench.At(3), OccurrenceOutcome.Skipped), (ScheduleBench.At(2), OccurrenceOutcome.Buffered),
        }));
        Assert.That(shown.Running, Is.EqualTo(new[] { await _bench.RunOfAsync(1) }));
        Assert.That((shown.Info.Buffered, shown.Info.Paused, shown.Info.Schedule.Overlap), Is.EqualTo((1, false, OverlapPolicy.BufferOne)));
        Assert.That(await _bench.Schedules.DescribeAsync("none"), Is.Null);
    }

    [Test]
    public async Task Schedules_are_listed_page_by_page()
    {
        foreach (var id in new[] { "c", "a", "b" })
        {
            await _bench.Schedules.PutAsync(ScheduleBench.Hourly() with { Id = id }, 5);
        }

        Assert.That((await _bench.Schedules.ListAsync(limit: 2)).Select(one => one.Schedule.Id), Is.EqualTo(new[] { "a", "b" }));
        Assert.That((await _bench.Schedules.ListAsync("b")).Select(one => one.Schedule.Id), Is.EqualTo(new[] { "c" }));
    }

    [Test]
    public async Task A_deleted_schedule_fires_no_more_and_what_waited_is_skipped()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferOne), 5);
        await _bench.FireAtAsync(2);
        Assert.That(await _bench.Schedules.DeleteAsync("s"), Is.True);
        Assert.That(await _bench.Schedules.DeleteAsync("s"), Is.False);
        await _bench.EndAsync(await _bench.RunOfAsync(1));
        await _bench.FireAtAsync(3);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 skipped"));
        Assert.That(await _bench.ReasonOfAsync(2), Is.EqualTo("The schedule was deleted."));
    }
}
