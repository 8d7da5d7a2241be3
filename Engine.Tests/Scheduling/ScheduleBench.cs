using System.Diagnostics.Metrics;
using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Observability;
using Exporter.Engine.Payloads;
using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Exporter.Engine.Tests.Scheduling;

/// <summary>A database whose clock stands where a test puts it, with firers to call by hand and no worker: runs go on until they are ended here.</summary>
internal sealed class ScheduleBench : IAsyncDisposable
{
    public static readonly DateTimeOffset Start = new(2026, 3, 2, 0, 0, 0, TimeSpan.Zero);
    private static readonly PayloadCodec Codec = new(KeyRing.Empty);

    private ScheduleBench(TestDatabase database) => Database = database;

    public static EngineMetrics Metrics { get; } =
        new(new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>());

    public TestDatabase Database { get; }

    public DateTimeOffset Now { get; private set; }

    public ScheduleClient Schedules => new(Database.Data, Codec);

    public EngineClient Client => TestWorker.ClientOf(Database.Data);

    /// <summary>Every hour, the first at one o'clock.</summary>
    public static Schedule Hourly(OverlapPolicy overlap = OverlapPolicy.Skip) =>
        new() { Id = "s", Workflow = "code", Spec = new ScheduleSpec { Every = TimeSpan.FromHours(1) }, Overlap = overlap };

    public static async Task<ScheduleBench> NewAsync()
    {
        var bench = new ScheduleBench(await TestDatabase.NewAsync());
        await bench.SetClockAsync(Start);
        return bench;
    }

    public static ScheduleFirer FirerOf(TestDatabase database) => FirerOf(database.Data);

    public static ScheduleFirer FirerOf(NpgsqlDataSource data)
    {
        var database = new EngineDatabase(data.ConnectionString);
        var gate = new SchemaGate(database, TimeProvider.System, NullLogger<SchemaGate>.Instance);
        return new(
            data, TestWorker.ClientOf(data), Codec, gate, new WorkSignal(database, gate, TimeProvider.System, NullLogger<WorkSignal>.Instance), new ScheduleBell(),
            TimeProvider.System, Metrics, NullLogger<ScheduleFirer>.Instance);
    }

    public static DateTimeOffset At(double hours) => Start.AddHours(hours);

    /// <summary>Puts the database's clock to so many hours after the start.</summary>
    public Task SetClockAsync(double hours) => SetClockAsync(At(hours));

    /// <summary>Puts the clock, and lets a firer do what is to be done.</summary>
    public async Task FireAtAsync(double hours)
    {
        await SetClockAsync(hours);
        await FireAsync();
    }

    public async Task FireAsync()
    {
        var firer = FirerOf(Database);
        for (var n = 0; await firer.FireAsync(default); n++)
        {
            Assert.That(n, Is.LessThan(1_000), "a firer finds no end");
        }
    }

    /// <summary>Ends a run as a worker would.</summary>
    public Task EndAsync(Guid? runId) => Database.ExecuteAsync(
        "with gone as (delete from engine.live_run where run_id = @runId returning *) insert into engine.outcome (run_id, state, epoch, output) select run_id, 'completed', epoch, '' from gone",
        new { runId });

    /// <summary>All occurrences in the order of their time, as "hour outcome".</summary>
    public async Task<string> OutcomesAsync(string cause = "schedule")
    {
        await using var connection = await Database.Data.OpenConnectionAsync();
        return string.Join(", ", await connection.QueryAsync<string>(
            "select extract(epoch from occurrence - @Start)::int / 3600 || ' ' || outcome from engine.occurrences where cause = @cause order by occurrence",
            new { Start, cause }));
    }

    public Task<Guid> RunOfAsync(double hours) => Database.ScalarAsync<Guid>(
        "select run_id from engine.occurrences where occurrence = @At and cause = 'schedule'", new { At = At(hours) });

    public Task<string?> ReasonOfAsync(double hours) => Database.ScalarAsync<string>(
        "select reason from engine.occurrences where occurrence = @At and cause = 'schedule'", new { At = At(hours) });

    /// <summary>Every run of a schedule belongs to one started occurrence, and each started occurrence has its run.</summary>
    public async Task CheckRunsAsync()
    {
        Assert.That(
            await Database.ScalarAsync<long>(
                "select count(*) from engine.occurrences o full join engine.runs r on r.run_id = o.run_id and r.scheduled_for = o.occurrence where (o.outcome = 'started') is distinct from (r.run_id is not null)"),
            Is.Zero);
        Assert.That(await Database.ScalarAsync<long>("select count(*) - count(distinct run_id) from engine.occurrences where outcome = 'started'"), Is.Zero);
    }

    public ValueTask DisposeAsync() => Database.DisposeAsync();

    private Task SetClockAsync(DateTimeOffset now)
    {
        Now = now;
        return Database.ExecuteAsync(
            $"create or replace function engine.clock() returns timestamptz language sql stable parallel safe as 'select timestamptz ''{now.UtcDateTime:yyyy-MM-dd HH:mm:ss.ffffff}Z'''");
    }
}
