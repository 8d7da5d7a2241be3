using System.Diagnostics;
using Dapper;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>
/// Work 11: half of what the machine can do, for long, beside a query that holds a snapshot, so that nothing that dies meanwhile
/// can be removed. Before, the same query is asked with a snapshot of its own for each answer: what the load loses then is the query's
/// share of the processor, and only what it loses more while the snapshot is held is the engine's. One run in five has ten steps, the
/// others none.
/// </summary>
internal sealed class SoakWork(BenchServer server, TimeSpan duration, TextWriter output)
{
    private const int Slots = 2000;

    /// <summary>Rows of the hot table that a run leaves dead: one is claimed, one is deleted; and as many again for what goes wrong.</summary>
    private const int DeadOfRun = 4;

    /// <summary>How often autovacuum looks at a database by default.</summary>
    private static readonly TimeSpan Nap = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private TimeSpan RenewedFrom { get; } = duration / 4;

    private TimeSpan Renewed { get; } = TimeSpan.FromTicks(Math.Min(TimeSpan.FromMinutes(2).Ticks, duration.Ticks / 6));

    private TimeSpan HeldFrom { get; } = duration / 2;

    private TimeSpan SnapshotHeld { get; } = TimeSpan.FromTicks(Math.Min(TimeSpan.FromMinutes(2).Ticks, duration.Ticks / 3));

    public async Task<IEnumerable<Figure>> MeasureAsync()
    {
        var data = await server.CreateAsync();
        var worker = await WorkerProcess.StartAsync(data, Slots, Math.Min(duration.TotalMinutes / 15, 1));
        try
        {
            var load = new SoakLoad(data);
            var capacity = await load.MostAsync(TimeSpan.FromTicks(Math.Min(TimeSpan.FromSeconds(15).Ticks, duration.Ticks / 4)));
            await Drained.WaitAsync(data, null);
            await output.WriteLineAsync($"This machine starts and executes {capacity:N0} runs a second; half of that for {duration:hh\\:mm\\:ss}, beside the query for {Renewed:hh\\:mm\\:ss} of it, and for {SnapshotHeld:hh\\:mm\\:ss} with its snapshot held.");
            return await MeasureAsync(data, load, capacity / 2);
        }
        finally
        {
            await worker.DisposeAsync();
            await server.DropAsync(data);
        }
    }

    private async Task<IEnumerable<Figure>> MeasureAsync(NpgsqlDataSource data, SoakLoad load, double rate)
    {
        var samples = new List<SoakSample>();
        var clock = Stopwatch.StartNew();
        using var stop = new CancellationTokenSource();
        var loading = load.RunAsync(rate, stop.Token);
        var renewed = AskAsync(data, RenewedFrom, Renewed, isHeld: false, stop.Token);
        var held = AskAsync(data, HeldFrom, SnapshotHeld, isHeld: true, stop.Token);
        await output.WriteLineAsync(SoakSample.Title);
        var before = await SoakSample.TakeAsync(data, TimeSpan.Zero, null);
        var pause = TimeSpan.FromTicks(Math.Clamp(duration.Ticks / 60, TimeSpan.TicksPerSecond, 10 * TimeSpan.TicksPerSecond));
        while (clock.Elapsed < duration && !loading.IsCompleted)
        {
            await Task.Delay(pause);
            var beside = clock.Elapsed > HeldFrom && !held.IsCompleted ? SoakQuery.Held
                : clock.Elapsed > RenewedFrom && !renewed.IsCompleted ? SoakQuery.Renewed
                : SoakQuery.None;
            before = await SoakSample.TakeAsync(data, clock.Elapsed, before, beside);
            samples.Add(before);
            await output.WriteLineAsync(before.ToString());
        }

        await stop.CancelAsync();
        await loading;
        var (asked, answers) = ((await renewed).Count, await held);
        var answered = answers.Distinct().Count() == 1 ? answers.Count : 0;
        await Task.Delay(Grace);
        await using var connection = await data.OpenConnectionAsync();
        var backlog = await connection.ExecuteScalarAsync<long>("select count(*) from engine.live_run");
        var (completed, steps) = await connection.QuerySingleAsync<(long, long)>(
            "select (select count(*) from engine.outcome where state = 'completed'), (select count(*) from engine.step_record)");
        var last = await SoakSample.TakeAsync(data, clock.Elapsed, before);
        return Figures(samples, last, rate, asked, answered, backlog, load.AllStarted - completed, steps, await SizeAsync(connection, "run"), await SizeAsync(connection, "outcome"), await SizeAsync(connection, "step_record"));
    }

    private IEnumerable<Figure> Figures(
        List<SoakSample> samples, SoakSample last, double rate, int asked, int answered, long backlog, long lost, long steps, params double[] history)
    {
        // The first moments of each part belong to neither.
        var (early, beside, during, late) = (
            samples.Where(sample => sample.At <= RenewedFrom).ToList(), samples.Where(sample => sample.Beside == SoakQuery.Renewed).ToList(),
            samples.Where(sample => sample.Beside == SoakQuery.Held).ToList(), samples.Where(sample => sample.At > HeldFrom && sample.Beside == SoakQuery.None).ToList());
        var settled = DeadOfRun * rate * (2 * Nap).TotalSeconds;
        Figure Most(string what, List<SoakSample> of, double bar) => new()
        {
            Work = 11, What = $"dead rows of the hot table, most {what}", Unit = "rows", Values = [of.Select(sample => (double)sample.Dead).DefaultIfEmpty().Max()], Bar = bar, Least = true,
        };
        Figure Megabytes(string what, double size) => new() { Work = 11, What = what, Unit = "MB", Values = [size], Least = true };
        Figure Kept(string what, List<SoakSample> of, double started) => new()
        {
            Work = 11, What = $"throughput {what}", Unit = "runs/s", Values = [Rate(of)], Limits = [started], RatioBar = 0.95,
        };
        return
        [
            Kept("before the query, of what was started", early, rate),
            Kept("beside it, its snapshot renewed, of the same", beside, rate),
            Kept("beside it, its snapshot held, of the same", during, rate),
            Kept("with it held, of that with it renewed", during, Rate(beside)),
            Kept("after the snapshot, of what was started", late, rate),
            Most("before the query", early, settled),
            Most("with the snapshot held", during, settled + (DeadOfRun * rate * SnapshotHeld.TotalSeconds)),
            Most("at the end", [last], settled),
            Megabytes("hot table and indexes, most", samples.Max(sample => sample.Megabytes)),
            Megabytes("hot table and indexes, at the end", last.Megabytes),
            Megabytes("runs and indexes, at the end", history[0]),
            Megabytes("outcomes and indexes, at the end", history[1]),
            Megabytes($"{steps:N0} step records and indexes, at the end", history[2]),
            new Figure { Work = 11, What = "answers of the query, snapshot renewed", Unit = "", Values = [asked], Bar = 1 },
            new Figure { Work = 11, What = "answers of the query, snapshot held, all the same", Unit = "", Values = [answered], Bar = 1 },
            new Figure { Work = 11, What = $"backlog {Grace.TotalSeconds:0} s after the last start", Unit = "runs", Values = [backlog], Bar = 0, Least = true },
            new Figure { Work = 11, What = "runs started and not completed", Unit = "runs", Values = [lost], Bar = 0, Least = true },
        ];
    }

    private static double Rate(List<SoakSample> samples) =>
        samples.Count == 0 ? 0 : samples.Sum(sample => sample.Finished) / samples.Sum(sample => sample.Length.TotalSeconds);

    /// <summary>Asks the same again and again, of one snapshot or each time of a new one.</summary>
    private static async Task<List<string>> AskAsync(NpgsqlDataSource data, TimeSpan begin, TimeSpan time, bool isHeld, CancellationToken stop)
    {
        var answers = new List<string>();
        try
        {
            await Task.Delay(begin, stop);
            await using var connection = await data.OpenConnectionAsync(stop);
            await using var transaction = isHeld ? await connection.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead, stop) : null;
            var clock = Stopwatch.StartNew();
            do
            {
                answers.Add(string.Join('\n', await connection.QueryAsync<string>(new CommandDefinition(
                    """
                    select concat_ws(' ', workflow, state, date_trunc('minute', created_at), count(*), percentile_disc(0.99) within group (order by finished_at - created_at))
                    from engine.runs group by workflow, state, date_trunc('minute', created_at) order by 1
                    """,
                    transaction: transaction,
                    commandTimeout: 0,
                    cancellationToken: stop))));
            }
            while (clock.Elapsed < time);
        }
        catch (OperationCanceledException)
        {
            // The time of the whole was over before.
        }

        return answers;
    }

    private static Task<double> SizeAsync(NpgsqlConnection connection, string table) =>
        connection.ExecuteScalarAsync<double>($"select pg_total_relation_size('engine.{table}') / 1e6::float8");
}
