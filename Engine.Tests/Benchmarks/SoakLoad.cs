using System.Diagnostics;
using Dapper;
using Exporter.Engine.Client;
using Npgsql;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>Starts runs, as many as the machine executes or at a rate.</summary>
internal sealed class SoakLoad(NpgsqlDataSource data)
{
    private const int Portion = 500;

    /// <summary>So many portions, of which one has steps.</summary>
    private const int Cycle = 5;

    /// <summary>More portions than this not executed yet, and starts wait: what the machine executes is to be found, not what it takes in.</summary>
    private const int MostWaiting = 8;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);
    private int _portions;
    private long _before = -1;
    private long _started;

    /// <summary>Runs that were started at the rate.</summary>
    public long Started => Interlocked.Read(ref _started);

    /// <summary>With those that were there before.</summary>
    public long AllStarted => Started + _before;

    /// <summary>Runs a second that are started and executed when starts wait for nothing but the backlog.</summary>
    public async Task<double> MostAsync(TimeSpan time)
    {
        var (started, first) = (0L, await Drained.CountAsync(data));
        var clock = Stopwatch.StartNew();
        await using var connection = await data.OpenConnectionAsync();
        var waiting = new Queue<Guid[]>();
        while (clock.Elapsed < time)
        {
            waiting.Enqueue([.. (await StartAsync(Portion)).Select(run => run.RunId)]);
            started += Portion;
            while (waiting.Count > MostWaiting)
            {
                if (await connection.ExecuteScalarAsync<bool>("select exists (select from engine.live_run where run_id = any(@oldest))", new { oldest = waiting.Peek() }))
                {
                    await Task.Delay(5);
                }
                else
                {
                    waiting.Dequeue();
                }
            }
        }

        await Drained.WaitAsync(data, first + started);
        return started / clock.Elapsed.TotalSeconds;
    }

    public async Task RunAsync(double rate, CancellationToken stop)
    {
        _before = await Drained.CountAsync(data);
        var clock = Stopwatch.StartNew();
        while (!stop.IsCancellationRequested)
        {
            var due = (int)Math.Min((rate * clock.Elapsed.TotalSeconds) - Started, rate);
            if (due > 0)
            {
                await StartAsync(due);
                Interlocked.Add(ref _started, due);
            }

            await Task.Delay(Tick, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private Task<IReadOnlyList<RunHandle>> StartAsync(int runs) =>
        TestWorker.ClientOf(data).StartManyAsync(_portions++ % Cycle == 0 ? "ten-steps" : "no-op", WorkerProcess.Inputs(runs));
}

/// <summary>What there is at a moment of the soak, and what was done since the one before.</summary>
/// <param name="At">Since the beginning.</param>
/// <param name="Length">Since the sample before.</param>
/// <param name="All">Runs that have ended, by the server's statistics.</param>
/// <param name="Finished">Of them, since the sample before.</param>
/// <param name="Waiting">Runs that have not ended.</param>
/// <param name="Dead">Dead rows of the hot table, by the server's statistics.</param>
/// <param name="Megabytes">Size of the hot table and its indexes.</param>
/// <param name="Beside">What was asked beside it.</param>
internal sealed record SoakSample(TimeSpan At, TimeSpan Length, long All, long Finished, long Waiting, long Dead, double Megabytes, SoakQuery Beside)
{
    public const string Title = "   time     runs/s   waiting    dead rows   hot table MB";

    public static async Task<SoakSample> TakeAsync(NpgsqlDataSource data, TimeSpan at, SoakSample? before, SoakQuery beside = SoakQuery.None)
    {
        await using var connection = await data.OpenConnectionAsync();
        var (waiting, all, dead, size) = await connection.QuerySingleAsync<(long, long, long, double)>(
            """
            select (select count(*) from engine.live_run), (select n_tup_ins from pg_stat_user_tables where relid = 'engine.outcome'::regclass), n_dead_tup, pg_total_relation_size(relid) / 1e6::float8
            from pg_stat_user_tables where relid = 'engine.live_run'::regclass
            """);
        return new SoakSample(at, at - (before?.At ?? at), all, all - (before?.All ?? all), waiting, dead, size, beside);
    }

    public override string ToString() =>
        $"{At:hh\\:mm\\:ss} {Finished / Math.Max(Length.TotalSeconds, 0.001),10:N0} {Waiting,9:N0} {Dead,12:N0} {Megabytes,14:N1}{Beside switch { SoakQuery.Held => "   snapshot held", SoakQuery.Renewed => "   query, snapshot renewed", _ => "" }}";
}

/// <summary>What is asked beside the load.</summary>
internal enum SoakQuery
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>The analytical query, each time with a snapshot of its own: what it takes of the processor, and little more.</summary>
    Renewed,

    /// <summary>The same with one snapshot for all answers.</summary>
    Held,
}
