using System.Globalization;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>What <c>make chaos-export</c> is told.</summary>
internal sealed record ExportChaosSettings
{
    public int Exports { get; init; } = 100;

    public int Seed { get; init; } = Environment.TickCount & 0xFFFFFF;

    /// <summary>The kind of destination that all exports go to; null: files and S3 in turn.</summary>
    public string? Destination { get; init; }

    /// <summary>How many faults there are; exports are started as long as there are some to come. Null: <see cref="Exports"/> exports, and
    /// faults until they are done.</summary>
    public int? Cycles { get; init; }

    /// <summary>Whether workers commit rows twice in place of others, so that the checks must fail.</summary>
    public bool Broken { get; init; }

    /// <summary>How long all exports together may take.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(30);

    public static ExportChaosSettings Parse(IEnumerable<string> options)
    {
        var settings = new ExportChaosSettings();
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            settings = option.Split('=') switch
            {
                ["exports", var value] => settings with { Exports = int.Parse(value, CultureInfo.InvariantCulture) },
                ["destination", var value] => settings with { Destination = value },
                ["cycles", var value] => settings with { Cycles = int.Parse(value, CultureInfo.InvariantCulture) },
                ["seed", var value] => settings with { Seed = int.Parse(value, CultureInfo.InvariantCulture) },
                ["broken"] => settings with { Broken = true },
                _ => throw new ArgumentException($"\"{option}\" is no option: exports=N, destination=KIND, cycles=N, seed=N, broken."),
            };
        }

        return settings;
    }
}

/// <summary>
/// Exports with random intervals, slices, formats and destinations, while workers are killed and frozen, connections to ClickHouse are cut
/// in mid-stream, ClickHouse refuses memory and destinations refuse requests, lose answers and connections. At the end every row is counted where
/// it lies.
/// </summary>
internal sealed class ExportChaos(ExportChaosSettings settings, TestDatabase database, LocalClickHouse clickHouse, ChaosServers servers) : IAsyncDisposable
{
    private const int Workers = 2;
    private const int RowsPerHour = 2_000;
    private static readonly DateTimeOffset Start = new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero);
    private readonly Random _random = new(settings.Seed);
    private readonly string _folder = Directory.CreateTempSubdirectory("exporter-chaos-").FullName;
    private readonly string _name = "chaos" + Guid.NewGuid().ToString("N");
    private readonly List<ChaosProcess> _workers = [];
    private readonly Dictionary<string, IChaosTarget> _targets = [];
    private FaultProxy? _proxy;
    private string _source = "";
    private int _cycles;
    private int _kills;
    private int _freezes;

    public async Task<ExportChaosVerdict> RunAsync()
    {
        await MakeSourceAsync();
        var exports = new List<ChaosExport>();
        for (var i = 0; i < (settings.Cycles is null ? settings.Exports : Workers); i++)
        {
            exports.Add(await StartAsync(i));
        }

        for (var i = 0; i < Workers; i++)
        {
            _workers.Add(StartWorker());
        }

        using var deadline = new CancellationTokenSource(settings.Patience);
        for (var cycle = 1; !deadline.IsCancellationRequested && (cycle <= settings.Cycles || await UnfinishedAsync() > 0); cycle++)
        {
            if (cycle <= (settings.Cycles ?? int.MaxValue))
            {
                await FaultAsync();
                _cycles++;
            }

            await Task.Delay(_random.Next(200, 1200), CancellationToken.None);
            if (cycle < settings.Cycles && await UnfinishedAsync() < Workers)
            {
                exports.Add(await StartAsync(exports.Count));
            }
        }

        var verdict = new ExportChaosVerdict(settings with { Exports = exports.Count }, database, clickHouse, $"{_name}.events")
        {
            Cycles = _cycles, Kills = _kills, Freezes = _freezes, Cuts = _proxy!.Cuts,
            DestinationFaults = Directory.EnumerateFiles(_folder, "faults-*").Sum(file => new FileInfo(file).Length) + _targets.Values.Sum(target => target.Faults),
        };
        foreach (var export in exports)
        {
            var target = _targets[export.Kind];
            await target.FetchAsync(export.Name, export.Root);
            await verdict.JudgeAsync(export, export.Root, target.HasManifest);
        }

        await verdict.CountAsync();
        return verdict;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var worker in _workers)
        {
            await worker.DisposeAsync();
        }

        foreach (var target in _targets.Values)
        {
            await target.DisposeAsync();
        }

        await (_proxy?.DisposeAsync() ?? ValueTask.CompletedTask);
        Directory.Delete(_folder, recursive: true);
    }

    private async Task MakeSourceAsync()
    {
        var source = await clickHouse.CreateDatabaseAsync(_name);
        _proxy = FaultProxy.Start(clickHouse.HttpPort);
        _source = source.Replace(
            string.Create(CultureInfo.InvariantCulture, $"Port={clickHouse.HttpPort}"), string.Create(CultureInfo.InvariantCulture, $"Port={_proxy.Port}"), StringComparison.Ordinal);
        await clickHouse.ExecuteAsync($"CREATE TABLE {_name}.events (id UInt64, timestamp DateTime64(6, 'UTC'), text String) ENGINE = MergeTree ORDER BY (timestamp, id) SETTINGS index_granularity = 256");
        await clickHouse.ExecuteAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"INSERT INTO {_name}.events SELECT number, toDateTime64('2026-10-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 3600000000, {RowsPerHour})), arrayStringConcat(arrayMap(i -> hex(cityHash64(number, i)), range(20))) FROM numbers({RowsPerHour * 24})"));
    }

    private async Task<ChaosExport> StartAsync(int number)
    {
        var hours = _random.Next(1, 7);
        var from = _random.Next(0, 24 - hours);
        var interval = new DataInterval(Start.AddHours(from), Start.AddHours(from + hours));
        var kind = settings.Destination ?? (number % 2 == 1 ? "s3" : "files");
        var name = string.Create(CultureInfo.InvariantCulture, $"chaos-{number}");
        var root = Path.Combine(_folder, name);
        Directory.CreateDirectory(root);
        if (!_targets.TryGetValue(kind, out var target))
        {
            _targets[kind] = target = await ChaosTargets.OpenAsync(kind, servers, settings.Seed);
        }

        await database.Destinations.CreateAsync(await target.MakeAsync(name, root), "chaos");
        var format = _random.Next(3) == 0 ? FileFormat.JsonLines : FileFormat.Parquet;
        var export = await database.Exports.CreateAsync(
            new BatchExport
            {
                Name = name, DestinationId = Guid.Empty, Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) }, Paused = true, Note = "chaos",
                Model = new SourceModel { Table = $"{_name}.events", CursorColumn = "timestamp", KeyColumns = ["timestamp", "id"] },
                Format = new FormatOptions { Format = format, RowGroupRows = 1000 },
                // Three to a hundred slices.
                Settings = new ExportSettings { TargetSliceBytes = (long)(hours * RowsPerHour * 350L / Math.Pow(10, 0.5 + (_random.NextDouble() * 1.5))), ParallelSlices = _random.Next(1, 5) },
            },
            name,
            "chaos");
        return new ChaosExport(await database.Control.StartAsync(export, interval, "chaos"), interval, target.HasManifest ? format : null, kind, name, root);
    }

    private ChaosProcess StartWorker()
    {
        var environment = new Dictionary<string, string>
        {
            [ChaosFaults.SeedVariable] = _random.Next().ToString(CultureInfo.InvariantCulture),
            [ChaosFaults.BrokenVariable] = settings.Broken ? "1" : "",
            [ChaosFaults.CountVariable] = Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"faults-{_kills}-{_workers.Count}")),
        };
        return ChaosProcess.StartLogged(
            Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"worker-{_workers.Count}-{_kills}.log")),
            environment,
            database.ConnectionString,
            _source,
            database.Key);
    }

    private Task<long> UnfinishedAsync() =>
        database.ScalarAsync<long>("select count(*) from exports.runs where state in ('queued', 'running', 'waiting', 'paused')");

    private async Task FaultAsync()
    {
        foreach (var target in _targets.Values)
        {
            target.Break(_random);
        }

        var victim = _random.Next(Workers);
        switch (_random.Next(6))
        {
            case 0:
                await _workers[victim].SignalAsync("KILL");
                await _workers[victim].ExitAsync();
                await _workers[victim].DisposeAsync();
                _kills++;
                _workers[victim] = StartWorker();
                break;
            case 1:
                // Past its lease, so that another takes its runs and it comes back as a zombie.
                _freezes++;
                await _workers[victim].SignalAsync("STOP");
                await Task.Delay(_random.Next(500, 3500));
                await _workers[victim].SignalAsync("CONT");
                break;
            case 2:
                _proxy!.CutAll();
                break;
            default:
                _proxy!.TruncateAfter(_random.Next(1_000, 400_000));
                await Task.Delay(_random.Next(100, 400));
                _proxy.Normal();
                break;
        }
    }
}

/// <summary>An export of the chaos, and where it goes.</summary>
/// <param name="RunId">Its run.</param>
/// <param name="Interval">Its data interval.</param>
/// <param name="Format">The format of its files; null: it has rows only.</param>
/// <param name="Kind">The kind of its destination.</param>
/// <param name="Name">Its name.</param>
/// <param name="Root">The folder in which it is counted.</param>
internal sealed record ChaosExport(Guid RunId, DataInterval Interval, FileFormat? Format, string Kind, string Name, string Root);
