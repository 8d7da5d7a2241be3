using System.Collections.Concurrent;
using System.Diagnostics;
using Dapper;
using Exporter.Engine.Client;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>Starts workers and runs, and makes a fault in each cycle; what comes is drawn from the seed.</summary>
internal sealed class ChaosDriver : IAsyncDisposable
{
    private const int Workers = 3;
    private const int RunsPerCycle = 6;
    private static readonly string[] Deck = ["kill", "freeze", "cut", "kill", "delay", "freeze", "blackhole", "restart", "clock"];
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private readonly ChaosSettings _settings;
    private readonly TextWriter _log;
    private readonly Random _random;
    private readonly string _folder = Directory.CreateTempSubdirectory("exporter-chaos-").FullName;
    private readonly Dictionary<string, int> _faults = [];
    private readonly Dictionary<Guid, int> _started = [];
    private readonly ConcurrentQueue<Guid> _unsignalled = new();
    private readonly List<(string Name, ChaosProcess Process)> _workers = [];
    private readonly string? _fakeTime = Directory.Exists("/usr/lib")
        ? Directory.EnumerateDirectories("/usr/lib", "*-linux-gnu").Select(folder => Path.Combine(folder, "faketime", "libfaketime.so.1")).FirstOrDefault(File.Exists)
        : null;

    private readonly LocalPostgres _server;
    private readonly FaultProxy _proxy;
    private readonly string _throughProxy;
    private readonly string _ledgerDatabase;
    private readonly NpgsqlDataSource _data;
    private readonly Ledger _ledger;
    private readonly EngineClient _client;
    private int _nextWorker;

    private ChaosDriver(ChaosSettings settings, TextWriter log, LocalPostgres server, string database, string ledger)
    {
        (_settings, _log, _server, _ledgerDatabase) = (settings, log, server, ledger);
        _random = new Random(settings.Seed);
        _proxy = FaultProxy.Start(server.Port);
        // A silent connection is given up soon, so that a blackhole is noticed within a cycle.
        _throughProxy = new NpgsqlConnectionStringBuilder(database) { Port = _proxy.Port, Timeout = 2, CommandTimeout = 3, CancellationTimeout = 500 }.ConnectionString;
        _data = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database) { Pooling = false }.ConnectionString);
        _ledger = new Ledger(ledger);
        _client = TestWorker.ClientOf(_data);
    }

    public static async Task<ChaosFigures> RunAsync(ChaosSettings settings, TextWriter log)
    {
        await using var server = await LocalPostgres.StartAsync();
        await using var beside = await LocalPostgres.StartAsync();
        var (database, ledger) = (await server.CreateDatabaseAsync(), await beside.CreateDatabaseAsync());
        await EngineSchema.MigrateAsync(database);
        await ExecuteAsync(database, LedgerWorkflow.Committed);
        await ExecuteAsync(ledger, Ledger.Table);
        await using var driver = new ChaosDriver(settings, log, server, database, ledger);
        return await driver.RunAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (_, process) in _workers)
        {
            await process.DisposeAsync();
        }

        await _proxy.DisposeAsync();
        await _ledger.DisposeAsync();
        await _data.DisposeAsync();
    }

    private static async Task ExecuteAsync(string database, string sql)
    {
        await using var connection = new NpgsqlConnection(database);
        await connection.ExecuteAsync(sql);
    }

    private async Task<ChaosFigures> RunAsync()
    {
        while (_workers.Count < Workers)
        {
            StartWorker(0);
        }

        await UntilAsync(async () => await CountAsync("select count(*) from engine.workers where alive") >= Workers, "the workers are there");
        var clock = Stopwatch.StartNew();
        var cycle = 0;
        var deck = new Queue<string>();
        while (cycle < _settings.Cycles && clock.Elapsed.TotalSeconds < _settings.Seconds)
        {
            await StartRunsAsync();
            await SignalAsync(0.6);
            if (deck.Count == 0)
            {
                var cards = Deck.ToArray();
                _random.Shuffle(cards);
                deck = new Queue<string>(cards);
            }

            var fault = _settings.Fault ?? deck.Dequeue();
            // Steps are in progress when it comes.
            await UntilAsync(async () => await CountAsync("select count(*) from engine.live_run where state = 'running'") > 0, "something executes");
            await MakeAsync(fault);
            _faults[fault] = _faults.GetValueOrDefault(fault) + 1;
            await SignalAsync(0.5);
            await _log.WriteLineAsync($"cycle {++cycle}: {fault}; {_started.Count} runs started, {await CountAsync("select count(*) from engine.live_run")} not final, {clock.Elapsed.TotalSeconds:F0} s");
        }

        _proxy.Normal();
        await SignalAsync(1);
        var stuck = await EndedAsync() ? 0 : (int)await CountAsync("select count(*) from engine.run r where not exists (select 1 from engine.outcome o where o.run_id = r.run_id)");
        foreach (var (_, process) in _workers)
        {
            await process.SignalAsync("TERM");
        }

        await UntilAsync(async () => await CountAsync("select count(*) from engine.workers where alive") == 0, "the workers have stopped", fails: false);
        var verdict = await ChaosVerdict.OfAsync(_data, _ledger, _started, _log);
        if (verdict is not { Twice: 0, Lost: 0, Disorder: 0, Failed: 0 } || stuck > 0)
        {
            await _log.WriteLineAsync($"The workers' output is in {_folder}");
        }

        return new ChaosFigures(_settings, cycle, _fakeTime is null ? "TimeProvider" : "libfaketime", _faults)
        {
            Cuts = _proxy.Cuts,
            Takeovers = await CountAsync("select count(*) from engine.log_line where message like 'The lease of worker %'"),
            Refused = await CountAsync("select coalesce(sum(refused_writes), 0)::bigint from engine.workers"),
            Runs = (int)await CountAsync("select count(*) from engine.run"),
            Stuck = stuck,
            Verdict = verdict,
        };
    }

    private void StartWorker(int hoursWrong)
    {
        var name = $"worker {_nextWorker++}";
        var environment = new Dictionary<string, string>();
        if (hoursWrong != 0 && _fakeTime is not null)
        {
            (environment["LD_PRELOAD"], environment["FAKETIME"]) = (_fakeTime, $"{hoursWrong:+0;-0}h");
            hoursWrong = 0;
        }

        string[] arguments = ["chaos-worker", _throughProxy, _ledgerDatabase, name, hoursWrong.ToString(System.Globalization.CultureInfo.InvariantCulture)];
        _workers.Add((name, ChaosProcess.StartLogged(Path.Combine(_folder, name + ".log"), environment, _settings.Unfenced ? [.. arguments, "unfenced"] : arguments)));
    }

    private async Task MakeAsync(string fault)
    {
        switch (fault)
        {
            case "kill" or "clock":
                var victim = _random.Next(_workers.Count);
                await _workers[victim].Process.DisposeAsync();
                _workers.RemoveAt(victim);
                StartWorker(fault == "kill" ? 0 : _random.Next(2) == 0 ? -5 : 7);
                break;
            case "freeze":
                await FreezeAsync();
                break;
            case "cut" when _random.Next(2) == 0:
                _proxy.CutAll();
                break;
            case "cut":
                // Cuts the next answers somewhere in their midst.
                var cuts = _proxy.Cuts;
                _proxy.TruncateAfter(_random.Next(2000));
                await UntilAsync(() => Task.FromResult(_proxy.Cuts > cuts), "an answer was cut short");
                _proxy.TruncateAfter(long.MaxValue);
                break;
            case "delay":
                _proxy.Delay = TimeSpan.FromMilliseconds(_random.Next(20, 300));
                await PassAsync(1.5);
                _proxy.Normal();
                break;
            case "blackhole":
                _proxy.IsBlackhole = true;
                // Now and then for longer than a lease.
                await PassAsync(_random.Next(2) == 0 ? 1 : LedgerWorker.Lease.TotalSeconds + 1);
                _proxy.Normal();
                break;
            case "restart":
                await _server.RestartAsync();
                break;
            default:
                throw new ArgumentException($"\"{fault}\" is no fault: {string.Join(", ", Deck.Distinct())}.");
        }
    }

    private async Task FreezeAsync()
    {
        var executing = "select count(*) from engine.live_run l join engine.workers w using (worker_id) where w.name = @Name and w.alive";
        var worker = _workers[_random.Next(_workers.Count)];
        for (var tries = 0; await CountAsync(executing, new { worker.Name }) == 0; worker = _workers[++tries % _workers.Count])
        {
            if (tries % 20 == 19)
            {
                await StartRunsAsync();
            }

            await PassAsync(0.02);
        }

        var lost = "select count(*) from engine.workers where name = @Name and state = 'lost'";
        var before = await CountAsync(lost, new { worker.Name });
        await worker.Process.SignalAsync("STOP");
        await UntilAsync(async () => await CountAsync(lost, new { worker.Name }) > before, "the frozen worker is marked lost");
        // Until its runs, which somebody else holds by now, have gone on.
        await UntilAsync(async () => await CountAsync("select count(*) from engine.live_run l join engine.workers w using (worker_id) where w.state = 'lost'") == 0, "its runs are free");
        await worker.Process.SignalAsync("CONT");
    }

    private async Task StartRunsAsync()
    {
        for (var count = 0; count < RunsPerCycle; count++)
        {
            var number = _started.Count * 2;
            var run = await PersistAsync(() => _client.StartAsync(LedgerWorkflow.Name, number, new StartOptions { Queue = LedgerWorker.Queue, IdempotencyKey = $"run {number}" }));
            _started.Add(run.RunId, number);
            _unsignalled.Enqueue(run.RunId);
        }
    }

    // Before the run waits for them or after; sometimes twice, which must not be noticed.
    private async Task SignalAsync(double share)
    {
        for (var left = _unsignalled.Count; left > 0 && _unsignalled.TryDequeue(out var runId); left--)
        {
            if (_random.NextDouble() > share)
            {
                _unsignalled.Enqueue(runId);
                continue;
            }

            var number = _started[runId];
            for (var signal = 0; signal < 2; signal++)
            {
                var (value, key) = (number + signal, $"go {signal}");
                await PersistAsync(() => _client.SignalAsync(runId, LedgerWorkflow.Signal, value, key));
                if (signal == 0 && _random.Next(3) == 0)
                {
                    await PersistAsync(() => _client.SignalAsync(runId, LedgerWorkflow.Signal, value, key));
                }
            }
        }
    }

    private async Task<bool> EndedAsync() =>
        await UntilAsync(async () => await CountAsync("select count(*) from engine.live_run") == 0, "all runs are final", fails: false, _settings.Unfenced ? TimeSpan.FromSeconds(20) : Patience);

    private async Task<long> CountAsync(string sql, object? parameters = null) => await PersistAsync(async () =>
    {
        await using var connection = await _data.OpenConnectionAsync();
        return await connection.ExecuteScalarAsync<long>(sql, parameters);
    });

    private static async Task<T> PersistAsync<T>(Func<Task<T>> call)
    {
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                return await call();
            }
            catch (Exception error) when (TransientErrors.Include(error) && clock.Elapsed < Patience)
            {
                await PassAsync(0.05);
            }
        }
    }

    private static async Task<bool> UntilAsync(Func<Task<bool>> condition, string what, bool fails = true, TimeSpan? patience = null)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > (patience ?? Patience))
            {
                return fails ? throw new TimeoutException($"Not within {Patience}: {what}") : false;
            }

            await PassAsync(0.05);
        }

        return true;
    }

    private static Task PassAsync(double seconds) => Task.Delay(TimeSpan.FromSeconds(seconds));
}
