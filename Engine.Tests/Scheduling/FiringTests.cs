using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Tests.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>Schedules fire once each, whoever fires them.</summary>
public sealed class FiringTests
{
    private static readonly PayloadCodec Codec = new(KeyRing.Empty);
    private TestDatabase _database = null!;

    private ScheduleClient Schedules => new(_database.Data, Codec);

    [SetUp]
    public async Task PrepareAsync() => _database = await TestDatabase.NewAsync();

    [TearDown]
    public ValueTask EndAsync() => _database.DisposeAsync();

    [Test]
    public async Task A_schedule_fires_and_its_runs_see_their_occurrence()
    {
        var seen = new System.Collections.Concurrent.ConcurrentBag<DateTimeOffset?>();
        await using var worker = await TestWorker.StartAsync(
            _database.ConnectionString,
            engine => engine.AddWorkflow<Code>("code"),
            services: services => services.AddSingleton(new Code((run, input) =>
            {
                seen.Add(run.ScheduledFor);
                return Task.FromResult(input);
            })));
        await Schedules.PutAsync(EverySecond() with { Queue = TestWorker.Queue }, 5);
        await Eventually.TrueAsync(() => seen.Count >= 2, "two runs");
        var occurrences = seen.Select(time => time!.Value).Order().ToArray();
        Assert.That(occurrences[1] - occurrences[0], Is.EqualTo(TimeSpan.FromSeconds(1)));
    }

    [Test]
    public async Task Ten_that_race_fire_each_occurrence_once()
    {
        await Schedules.PutAsync(EverySecond(), 5);
        await _database.ExecuteAsync("update engine.schedule set settled_to = date_trunc('second', engine.clock()) - interval '50 seconds', next_occurrence = date_trunc('second', engine.clock()) - interval '49 seconds', next_at = engine.clock() - interval '49 seconds'");
        await Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
        {
            var firer = Firer();
            while (await firer.FireAsync(default))
            {
            }
        }));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs"), Is.GreaterThanOrEqualTo(49));
        Assert.That(
            await _database.ScalarAsync<long>("select count(*) from engine.occurrences where outcome = 'started'"),
            Is.EqualTo(await _database.ScalarAsync<long>("select count(distinct scheduled_for) from engine.runs")));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs group by scheduled_for order by 1 desc limit 1"), Is.EqualTo(1));
    }

    [Test]
    public async Task An_occurrence_missed_by_more_than_the_window_is_skipped_with_the_reason()
    {
        await Schedules.PutAsync(EverySecond() with { CatchUpWindow = TimeSpan.FromSeconds(5) }, 5);
        await _database.ExecuteAsync("update engine.schedule set settled_to = date_trunc('second', engine.clock()) - interval '61 seconds', next_occurrence = date_trunc('second', engine.clock()) - interval '60 seconds', next_at = engine.clock() - interval '60 seconds'");
        while (await Firer().FireAsync(default))
        {
        }

        const string Skipped = "select count(*) from engine.occurrences where outcome = 'skipped' and reason like 'Missed by more than the catch-up window%'";
        Assert.That(await _database.ScalarAsync<long>(Skipped), Is.GreaterThanOrEqualTo(54));
        Assert.That(await _database.ScalarAsync<long>(Skipped + " and decided_at < occurrence + interval '5 seconds'"), Is.Zero, "none that was in time");
        Assert.That(
            await _database.ScalarAsync<bool>("select min(occurrence) filter (where outcome = 'started') > max(occurrence) filter (where outcome = 'skipped') from engine.occurrences"),
            Is.True,
            "the later ones are started");
    }

    [Test]
    public async Task A_schedule_that_cannot_fire_is_paused_with_the_reason_and_holds_up_no_other()
    {
        await Schedules.PutAsync(EverySecond() with { Id = "lost zone", Spec = new ScheduleSpec { Cron = "* * * * *" } }, 5);
        await Schedules.PutAsync(EverySecond(), 5);
        await _database.ExecuteAsync(
            """
            update engine.schedule set spec = jsonb_set(spec, '{timeZone}', '"Mars/Olympus"') where schedule_id = 'lost zone';
            update engine.schedule set next_occurrence = engine.clock() - interval '1 second', settled_to = engine.clock() - interval '2 seconds', next_at = engine.clock() - interval '1 second'
            """);
        while (await Firer().FireAsync(default))
        {
        }

        Assert.That(await _database.ScalarAsync<string>("select note from engine.schedules where paused"), Does.StartWith("It cannot fire: \"Mars/Olympus\" is no time zone"));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.occurrences where schedule_id = 's'"), Is.GreaterThan(0));
    }

    [Test]
    public async Task A_thousand_due_at_once_fire_once_each_in_few_transactions_though_ten_race()
    {
        await PutManyAsync(1000);
        var rounds = 0;
        await Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
        {
            var firer = Firer();
            while (await firer.FireAsync(default))
            {
                Interlocked.Increment(ref rounds);
            }
        }));
        Assert.That(rounds, Is.LessThan(100));
        Assert.That(
            await _database.ScalarAsync<long>("select count(distinct o.schedule_id) from engine.occurrences o join engine.runs r using (run_id) where r.schedule_id = o.schedule_id and r.scheduled_for = o.occurrence"),
            Is.EqualTo(1000));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs"), Is.EqualTo(1000));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.occurrences"), Is.EqualTo(1000));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.schedules where settled_to is distinct from (select max(occurrence) from engine.occurrences) or next_at <= engine.clock()"), Is.Zero);
    }

    [Test]
    public async Task A_schedule_whose_run_the_database_refuses_is_paused_alone_among_many()
    {
        await PutManyAsync(300);
        await _database.ExecuteAsync("update engine.schedule set workflow = repeat('x', 300) where schedule_id = '7'");
        var firer = Firer();
        while (await firer.FireAsync(default))
        {
        }

        Assert.That(await _database.ScalarAsync<string>("select schedule_id from engine.schedules where paused and blocked"), Is.EqualTo("7"));
        Assert.That(await _database.ScalarAsync<string>("select note from engine.schedules where paused"), Does.StartWith("It cannot fire: "));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs"), Is.EqualTo(299));
    }

    [Test]
    public async Task A_schedule_that_is_due_in_a_moment_fires_then_and_not_at_the_next_look()
    {
        await using var worker = await TestWorker.StartAsync(
            _database.ConnectionString, engine => engine.AddWorkflow<Code>("code"), services: services => services.AddSingleton(new Code((_, input) => Task.FromResult(input))));
        await Schedules.PutAsync(EverySecond() with { Queue = TestWorker.Queue }, 5);
        await Eventually.TrueAsync(
            async () => await _database.ScalarAsync<long>("select count(*) from engine.occurrences where decided_at - occurrence < interval '500 milliseconds'") >= 3,
            "three that were in time");
    }

    [Test]
    public async Task A_firer_that_is_frozen_holds_a_schedule_up_for_seconds_only()
    {
        await Schedules.PutAsync(EverySecond(), 5);
        await using var connection = await _database.Data.OpenConnectionAsync();
        await using var frozen = await connection.BeginTransactionAsync();
        await Eventually.TrueAsync(async () => (await ScheduleStore.TakeAsync(frozen, [], 1, default)).Count == 1, "it is due");
        Assert.That(await Firer().FireAsync(default), Is.False, "it is in the frozen one's hands");
        await Eventually.TrueAsync(() => Firer().FireAsync(default), "another one fires");
        Assert.That(async () => await frozen.CommitAsync(), Throws.InstanceOf<Npgsql.NpgsqlException>(), "the frozen one's session is over");
    }

    /// <summary>Of an hourly rule, each with one occurrence that has just been due.</summary>
    private async Task PutManyAsync(int schedules)
    {
        await Schedules.PutAsync(EverySecond() with { Id = "0", Spec = new ScheduleSpec { Every = TimeSpan.FromHours(1) } }, 5);
        await _database.ExecuteAsync(
            """
            update engine.schedule set settled_to = date_trunc('hour', engine.clock()) - interval '1 microsecond', next_occurrence = date_trunc('hour', engine.clock()),
              next_at = date_trunc('hour', engine.clock());
            insert into engine.schedule (schedule_id, spec, workflow, queue, input, catch_up_window, overlap, settled_to, next_occurrence, next_at)
            select n::text, spec, workflow, queue, input, catch_up_window, overlap, settled_to, next_occurrence, next_at
            from engine.schedule, generate_series(1, @schedules - 1) n
            """,
            new { schedules });
    }

    private static Schedule EverySecond() =>
        new() { Id = "s", Workflow = "code", Spec = new ScheduleSpec { Every = TimeSpan.FromSeconds(1) }, Overlap = OverlapPolicy.AllowAll };

    private ScheduleFirer Firer() =>
        ScheduleBench.FirerOf(_database);
}
