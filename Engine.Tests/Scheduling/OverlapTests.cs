using Exporter.Engine.Scheduling;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>What becomes of an occurrence while an earlier run is going.</summary>
public sealed class OverlapTests
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
    public async Task Skip_leaves_out_what_comes_while_a_run_is_going()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        await _bench.FireAtAsync(1);
        await _bench.FireAtAsync(2);
        await _bench.EndAsync(await _bench.RunOfAsync(1));
        await _bench.FireAtAsync(3);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 skipped, 3 started"));
        Assert.That(await _bench.ReasonOfAsync(2), Is.EqualTo("An earlier run was going."));
    }

    [Test]
    public async Task Buffer_one_keeps_one_and_starts_it_when_the_run_has_ended()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferOne), 5);
        await _bench.FireAtAsync(3.5);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 buffered, 3 skipped"));
        Assert.That(await _bench.ReasonOfAsync(3), Is.EqualTo("Another occurrence was waiting."));
        await _bench.EndAsync(await _bench.RunOfAsync(1));
        await _bench.FireAsync();
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started, 3 skipped"));
        Assert.That(await _bench.Database.ScalarAsync<int>("select buffered from engine.schedules"), Is.Zero);
    }

    [Test]
    public async Task Buffer_all_starts_them_one_after_the_other_in_order()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferAll), 5);
        await _bench.FireAtAsync(4.5);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 buffered, 3 buffered, 4 buffered"));
        for (var hour = 1; hour <= 4; hour++)
        {
            Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.live_run"), Is.EqualTo(1));
            await _bench.EndAsync(await _bench.RunOfAsync(hour));
            await _bench.FireAsync();
        }

        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started, 3 started, 4 started"));
    }

    [Test]
    public async Task Cancel_other_cancels_the_run_and_starts_when_it_has_ended()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.CancelOther), 5);
        await _bench.FireAtAsync(1);
        var first = await _bench.RunOfAsync(1);
        await _bench.Database.ExecuteAsync(
            "update engine.live_run set state = 'running', epoch = 1, worker_id = gen_random_uuid()");
        await _bench.FireAtAsync(2);
        Assert.That((await _bench.Client.GetAsync(first))!.CancelRequested, Is.True);
        await _bench.FireAtAsync(3);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 skipped, 3 buffered"), "the newest displaces what waits");
        Assert.That(await _bench.ReasonOfAsync(2), Is.EqualTo("Displaced by the occurrence at 2026-03-02T03:00:00Z, which cancels others."));
        await _bench.EndAsync(first);
        await _bench.FireAsync();
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 skipped, 3 started"));
    }

    [Test]
    public async Task Cancel_other_starts_at_once_where_the_other_never_began()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.CancelOther), 5);
        await _bench.FireAtAsync(1);
        await _bench.FireAtAsync(2);
        Assert.That((await _bench.Client.GetAsync(await _bench.RunOfAsync(1)))!.State, Is.EqualTo(Exporter.Engine.Client.RunState.Cancelled));
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started"));
    }

    [Test]
    public async Task Terminate_other_ends_the_run_that_is_going_and_starts()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.TerminateOther), 5);
        await _bench.FireAtAsync(1);
        var first = await _bench.RunOfAsync(1);
        await _bench.Database.ExecuteAsync(
            "update engine.live_run set state = 'running', epoch = 1, worker_id = gen_random_uuid()");
        await _bench.FireAtAsync(2);
        await _bench.FireAsync();
        Assert.That((await _bench.Client.GetAsync(first))!.State, Is.EqualTo(Exporter.Engine.Client.RunState.Terminated));
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started"));
    }

    [Test]
    public async Task Allow_all_starts_whatever_is_going()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.AllowAll), 5);
        await _bench.FireAtAsync(3);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo("1 started, 2 started, 3 started"));
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.live_run"), Is.EqualTo(3));
    }

    [TestCase(OverlapPolicy.Skip, "1 started, 2 skipped, 3 skipped, 4 skipped, 5 skipped, 6 skipped")]
    [TestCase(OverlapPolicy.BufferOne, "1 started, 2 buffered, 3 skipped, 4 skipped, 5 skipped, 6 skipped")]
    [TestCase(OverlapPolicy.BufferAll, "1 started, 2 buffered, 3 buffered, 4 buffered, 5 buffered, 6 buffered")]
    [TestCase(OverlapPolicy.CancelOther, "1 skipped, 2 skipped, 3 skipped, 4 skipped, 5 skipped, 6 started")]
    [TestCase(OverlapPolicy.TerminateOther, "1 skipped, 2 skipped, 3 skipped, 4 skipped, 5 skipped, 6 started")]
    [TestCase(OverlapPolicy.AllowAll, "1 started, 2 started, 3 started, 4 started, 5 started, 6 started")]
    public async Task After_hours_of_outage_the_policy_decides_what_starts(OverlapPolicy policy, string expected)
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(policy), 5);
        await _bench.FireAtAsync(6.2);
        Assert.That(await _bench.OutcomesAsync(), Is.EqualTo(expected));
    }

    [Test]
    public async Task The_buffer_is_bounded_and_what_does_not_fit_is_skipped_with_the_reason()
    {
        await _bench.Schedules.PutAsync(
            ScheduleBench.Hourly(OverlapPolicy.BufferAll) with { Spec = new ScheduleSpec { Every = TimeSpan.FromSeconds(1) } }, 5);
        await _bench.FireAtAsync(1200 / 3600.0);
        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.EqualTo(1200));
        Assert.That(await _bench.Database.ScalarAsync<int>("select buffered from engine.schedules"), Is.EqualTo(1000));
        Assert.That(
            await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where reason = '1000 occurrences were waiting.'"), Is.EqualTo(199));
    }

    [Test]
    public async Task What_waits_outlives_its_firer_and_starts_once_though_ten_race()
    {
        await _bench.Schedules.PutAsync(ScheduleBench.Hourly(OverlapPolicy.BufferAll), 5);
        await _bench.FireAtAsync(20.5);
        for (var hour = 1; hour <= 20; hour++)
        {
            Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.live_run"), Is.EqualTo(1));
            await _bench.EndAsync(await _bench.RunOfAsync(hour));
            await Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
            {
                var firer = ScheduleBench.FirerOf(_bench.Database);
                while (await firer.FireAsync(default))
                {
                }
            }));
        }

        Assert.That(await _bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where outcome = 'started'"), Is.EqualTo(20));
    }
}
