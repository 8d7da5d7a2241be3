using System.Globalization;
using System.Text.Json;
using Dapper;
using Exporter.Engine.Scheduling;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>Work 6: a hundred thousand schedules, a thousand of which fall due at the beginning of each second.</summary>
internal sealed class ScheduleWorks(BenchServer server, double scale)
{
    /// <summary>The interval of each schedule in seconds: at each full second one in so many is due.</summary>
    private const int Interval = 100;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private int Schedules { get; } = Math.Max((int)(100_000 * scale), Interval);

    private int Seconds { get; } = (int)Math.Clamp(30 * scale * 100, 3, 30);

    /// <summary>From when an occurrence was due to its decision, to its run, and to that run's claim; by the database's clock.</summary>
    public async Task<IEnumerable<Figure>> LagAsync()
    {
        var data = await server.CreateAsync();
        try
        {
            await using var worker = await WorkerProcess.StartAsync(data, 1000, scale);
            await using var connection = await data.OpenConnectionAsync();
            var first = await PutAsync(connection);
            await server.CheckpointAsync();

            // What comes in the first seconds finds the firer's code not compiled yet.
            var (from, to) = (first.AddSeconds(3), first.AddSeconds(3 + Seconds));
            var expected = (long)Schedules / Interval * Seconds;
            await WaitAsync(connection, from, to, expected);
            Figure Lag(string what, double part, string until, double? bar) => LatencyWorks.Milliseconds(
                6, $"{what}, p{part * 100:0}", Percentile(connection, from, to, part, until), bar);
            var each = $"{Schedules:N0} schedules, {Schedules / Interval:N0} due each second";
            return
            [
                Lag($"{each}: to the decision", 0.5, "c.decided_at", null),
                Lag($"{each}: to the decision", 0.99, "c.decided_at", 1000),
                Lag("from due to the run's start", 0.5, "r.created_at", null),
                Lag("from due to the run's start", 0.99, "r.created_at", 1000),
                Lag("from due to the run's end by a worker", 0.5, "o.finished_at", null),
                Lag("from due to the run's end by a worker", 0.99, "o.finished_at", null),
            ];
        }
        finally
        {
            await server.DropAsync(data);
        }
    }

    /// <summary>Writes the rows that the client would, by few statements; answers when the first are due.</summary>
    private async Task<DateTimeOffset> PutAsync(NpgsqlConnection connection)
    {
        var now = new DateTimeOffset(await connection.ExecuteScalarAsync<DateTime>("select date_trunc('second', engine.clock())"), TimeSpan.Zero);
        // Time enough for the rows themselves; before it nothing is due.
        var begin = now.AddSeconds(3 + (Schedules / 10_000.0));
        var specs = Enumerable.Range(0, Interval)
            .Select(second => new ScheduleSpec { Every = TimeSpan.FromSeconds(Interval), Offset = TimeSpan.FromSeconds(second) }.Validate()).ToList();
        var next = specs.Select(spec => Occurrences.After(spec, begin)!.Value.UtcDateTime).ToArray();
        await connection.ExecuteAsync(
            """
            insert into engine.schedule (schedule_id, spec, workflow, queue, input, catch_up_window, overlap, settled_to, next_occurrence, next_at)
            select 'schedule ' || n, specs[n % @Interval + 1]::jsonb, 'no-op', @Queue, '\x0031', interval '1 hour', 'skip', @begin, next[n % @Interval + 1], next[n % @Interval + 1]
            from generate_series(1, @Schedules) n, (select @specs::text[] as specs, @next::timestamptz[] as next) given
            """,
            new
            {
                Interval, BenchWorker.Queue, begin = begin.UtcDateTime, Schedules, next,
                specs = specs.Select(spec => JsonSerializer.Serialize(spec, JsonSerializerOptions.Web)).ToArray(),
            });
        await connection.ExecuteAsync("analyze engine.schedule");
        var late = await connection.ExecuteScalarAsync<DateTime>("select engine.clock()");
        return late < begin.UtcDateTime ? begin : throw new InvalidOperationException($"The schedules were written at {late:O} only, after the first was due.");
    }

    private static async Task WaitAsync(NpgsqlConnection connection, DateTimeOffset from, DateTimeOffset to, long expected)
    {
        await Task.Delay(await connection.ExecuteScalarAsync<TimeSpan>("select greatest(@To - engine.clock(), interval '0')", Window(from, to)));
        var clock = System.Diagnostics.Stopwatch.StartNew();
        const string Counts =
            """
            select count(*) filter (where outcome = 'started'), count(o.run_id), count(distinct c.run_id), count(*)
            from engine.occurrence c left join engine.outcome o using (run_id) where occurrence > @From and occurrence <= @To
            """;
        while (true)
        {
            var (started, ended, runs, all) = await connection.QuerySingleAsync<(long, long, long, long)>(Counts, Window(from, to));
            if (all > expected || (all == expected && started != runs))
            {
                throw new InvalidOperationException($"{all} occurrences, {started} of them started with {runs} runs, where {expected} were due.");
            }

            if (started == expected && ended == expected)
            {
                return;
            }

            if (clock.Elapsed > Patience)
            {
                throw new TimeoutException($"{started} of {expected} occurrences were started, {ended} of their runs ended, {Patience} after the last was due.");
            }

            await Task.Delay(500);
        }
    }

    private static double Percentile(NpgsqlConnection connection, DateTimeOffset from, DateTimeOffset to, double part, string until) => connection.ExecuteScalar<double>(
        string.Create(
            CultureInfo.InvariantCulture,
            $"""
            select percentile_disc({part}) within group (order by extract(epoch from {until} - c.occurrence)::float8 * 1000)
            from engine.occurrence c join engine.run r using (run_id) join engine.outcome o using (run_id) where occurrence > @From and occurrence <= @To
            """),
        Window(from, to));

    private static object Window(DateTimeOffset from, DateTimeOffset to) => new { From = from.UtcDateTime, To = to.UtcDateTime };
}
