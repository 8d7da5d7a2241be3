using System.Diagnostics.Metrics;
using CsCheck;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Tests.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>Ten firers at once over every policy, and what must hold whatever comes in which order.</summary>
public sealed class StormTests
{
    private static readonly OverlapPolicy[] Policies = Enum.GetValues<OverlapPolicy>();

    [Test]
    public async Task Ten_firers_give_each_occurrence_one_outcome_and_let_no_two_runs_overlap()
    {
        await using var bench = await ScheduleBench.NewAsync();
        foreach (var policy in Policies)
        {
            await bench.Schedules.PutAsync(ScheduleBench.Hourly(policy) with { Id = $"{policy}", Workflow = $"{policy}" }, 5);
        }

        const int Hours = 24;
        for (var hour = 1; hour <= Hours; hour++)
        {
            await bench.SetClockAsync(hour);
            await Task.WhenAll([
                .. Enumerable.Range(0, 10).Select(async _ =>
                {
                    var firer = ScheduleBench.FirerOf(bench.Database);
                    while (await firer.FireAsync(default))
                    {
                    }
                }),
                .. Policies.Select(policy => bench.Schedules.TriggerAsync($"{policy}")),
                EndSomeAsync(bench, hour),
            ]);
            Assert.That(
                await bench.Database.ScalarAsync<long>("select coalesce(max(n), 0) from (select count(*) n from engine.live_run where workflow <> 'AllowAll' group by workflow) each"),
                Is.LessThanOrEqualTo(1),
                $"hour {hour}");
        }

        // A schedule that was just being triggered when all of them looked is left to whoever looks next.
        await bench.FireAsync();
        Assert.That(
            await bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where cause = 'schedule'"), Is.EqualTo(Hours * Policies.Length));
        Assert.That(await bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where cause = 'trigger'"), Is.EqualTo(Hours * Policies.Length));
        Assert.That(
            await bench.Database.ScalarAsync<long>("select count(*) from engine.schedules s where s.buffered <> (select count(*) from engine.occurrences o where o.schedule_id = s.schedule_id and o.outcome = 'buffered')"),
            Is.Zero);

        // Whatever waits comes to its turn once runs end.
        await Eventually.TrueAsync(
            async () =>
            {
                await EndSomeAsync(bench, 0);
                await bench.FireAsync();
                return await bench.Database.ScalarAsync<long>("select count(*) from engine.occurrences where outcome = 'buffered'") == 0;
            },
            "an empty buffer",
            seconds: 60);
        await bench.CheckRunsAsync();
    }

    [Test]
    public void Whatever_comes_in_whatever_order_each_has_one_decision_and_one_run_goes_at_a_time() =>
        Gen.Select(Gen.Bool, Gen.Int[0, 3], Gen.Bool, Gen.Int[0, 3].Array[1, 30]).Sample((going, waiting, paused, policies) =>
        {
            var buffered = Enumerable.Range(-waiting, waiting).Select(n => (Key(n), OverlapPolicy.BufferAll)).ToList();
            var decider = new OverlapDecider(going, buffered);
            decider.Drain(paused);
            for (var n = 0; n < policies.Length; n++)
            {
                decider.Add(Key(n), (OverlapPolicy)policies[n]);
            }

            var decisions = decider.Decisions;
            Assert.That(decisions.Select(one => one.Key), Is.Unique);
            Assert.That(decisions.Count(one => one.Key.Time >= ScheduleBench.Start), Is.EqualTo(policies.Length), "each has one");
            Assert.That(decisions.Count(one => one.Outcome == OccurrenceOutcome.Started), Is.LessThanOrEqualTo(going ? 0 : 1));
            Assert.That(decisions.Where(one => one.Outcome == OccurrenceOutcome.Skipped).Select(one => one.Reason), Has.None.Null);
            var untouched = waiting - decisions.Count(one => one.Key.Time < ScheduleBench.Start);
            Assert.That(decider.Buffered, Is.EqualTo(untouched + decisions.Count(one => one.Outcome == OccurrenceOutcome.Buffered)), "nothing is lost");
            Assert.That(decider.CancelsOthers && !going, Is.False);
        });

    [Test]
    public async Task With_a_worker_what_waits_starts_when_the_run_ends()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await TestWorker.StartAsync(
            database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code"),
            services: services => services.AddSingleton(new Code((run, input) => run.StepAsync("work", _ => Task.FromResult(input)))));
        var schedules = new ScheduleClient(database.Data, new PayloadCodec(KeyRing.Empty));
        await schedules.PutAsync(ScheduleBench.Hourly() with { Queue = TestWorker.Queue }, 5);
        for (var n = 0; n < 4; n++)
        {
            await schedules.TriggerAsync("s", OverlapPolicy.BufferAll);
        }

        await Eventually.TrueAsync(
            async () => await database.ScalarAsync<long>("select count(*) from engine.runs where state = 'completed'") == 4, "four runs");
        Assert.That(
            await database.ScalarAsync<long>("select count(*) from (select created_at < lag(finished_at) over (order by created_at) as early from engine.runs) r where early"),
            Is.Zero);
    }

    [Test]
    public async Task The_lag_of_a_schedule_is_measured()
    {
        var lags = new List<double>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Name == "exporter.engine.schedule.lag")
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((_, value, _, _) => lags.Add(value));
        await using var bench = await ScheduleBench.NewAsync();
        await bench.Schedules.PutAsync(ScheduleBench.Hourly(), 5);
        listener.Start();
        await bench.SetClockAsync(1.5);
        Assert.That(await bench.Database.ScalarAsync<TimeSpan>("select lag from engine.schedules"), Is.EqualTo(TimeSpan.FromMinutes(30)));
        await bench.FireAsync();
        Assert.That(lags, Is.EqualTo(new[] { 1800.0 }));
        Assert.That(await bench.Database.ScalarAsync<TimeSpan>("select lag from engine.schedules"), Is.EqualTo(TimeSpan.Zero));
    }

    private static OccurrenceKey Key(int hour) => new(ScheduleBench.At(hour), OccurrenceCause.Schedule, Guid.Empty);

    /// <summary>Ends runs by chance, differently each hour; at 0 all.</summary>
    private static Task EndSomeAsync(ScheduleBench bench, int hour) => bench.Database.ExecuteAsync(
        """
        with gone as (delete from engine.live_run where @hour = 0 or hashtext(run_id::text || @hour) % 3 = 0 returning *)
        insert into engine.outcome (run_id, state, epoch, output) select run_id, 'completed', epoch, '' from gone
        """,
        new { hour });
}
