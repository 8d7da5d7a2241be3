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
                ["seed", var value] => settings with { Seed = int.Parse(value, CultureInfo.InvariantCulture) },
                ["broken"] => settings with { Broken = true },
                _ => throw new ArgumentException($"\"{option}\" is no option: exports=N, seed=N, broken."),
            };
        }

        return settings;
    }
}

/// <summary>
/// Exports with random intervals, slices, formats and destinations, while workers are killed and frozen, connections to ClickHouse are cut
/// in mid-stream, ClickHouse refuses memory and S3 answers 503. At the end every row is counted where it lies.
/// </summary>
internal sealed class ExportChaos(ExportChaosSettings settings, TestDatabase database, LocalClickHouse clickHouse, LocalS3 s3) : IAsyncDisposable
{
    private const int Workers = 2;
    private const int RowsPerHour = 2_000;
    private static readonly DateTimeOffset Start = new(2026, 10, 1, 0, 0, 0, TimeSpan.Zero);
    private readonly Random _random = new(settings.Seed);
    private readonly string _folder = Directory.CreateTempSubdirectory("exporter-chaos-").FullName;
    private readonly string _name = "chaos" + Guid.NewGuid().ToString("N");
    private readonly List<ChaosProcess> _workers = [];
    private FaultProxy? _proxy;
    private string _source = "";
    private int _kills;
    private int _freezes;

    public async Task<ExportChaosVerdict> RunAsync()
    {
        await MakeSourceAsync();
        var exports = new List<ChaosExport>();
        for (var i = 0; i < settings.Exports; i++)
        {
            exports.Add(await StartAsync(i));
        }

        for (var i = 0; i < Workers; i++)
        {
            _workers.Add(StartWorker());
        }

        using var deadline = new CancellationTokenSource(settings.Patience);
        while (!deadline.IsCancellationRequested && await UnfinishedAsync() > 0)
        {
            await FaultAsync();
            await Task.Delay(_random.Next(200, 1200), CancellationToken.None);
        }

        var verdict = new ExportChaosVerdict(settings, database, clickHouse, $"{_name}.events")
        {
            Kills = _kills, Freezes = _freezes, Cuts = _proxy!.Cuts,
            S3Faults = Directory.EnumerateFiles(_folder, "faults-*").Sum(file => new FileInfo(file).Length),
        };
        foreach (var export in exports)
        {
            await verdict.JudgeAsync(export, await FetchAsync(export));
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
        var toS3 = number % 2 == 1;
        var name = string.Create(CultureInfo.InvariantCulture, $"chaos-{number}");
        var root = Path.Combine(_folder, name);
        Directory.CreateDirectory(root);
        var bucket = toS3 ? await s3.CreateBucketAsync() : "";
        await database.Destinations.CreateAsync(
            toS3
                ? new Destination
                {
                    Name = name, Kind = "s3",
                    Settings = new() { ["bucket"] = bucket, ["endpoint"] = s3.Endpoint.ToString(), ["part_size"] = 5 * 1024 * 1024 },
                    Secrets = new Dictionary<string, string> { ["access_key"] = s3.AccessKey, ["secret_key"] = s3.SecretKey },
                }
                : new Destination { Name = name, Kind = "files", Settings = new() { ["root"] = root } },
            "chaos");
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
        return new ChaosExport(await database.Control.StartAsync(export, interval, "chaos"), interval, format, root, bucket);
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

    // What lies in a bucket is brought to a folder, so that one way of counting does for both.
    private async Task<string> FetchAsync(ChaosExport export)
    {
        if (export.Bucket.Length == 0)
        {
            return export.Root;
        }

        using var client = s3.CreateClient();
        var page = await client.ListObjectsV2Async(new() { BucketName = export.Bucket });
        foreach (var found in page.S3Objects ?? [])
        {
            var path = Path.Combine(export.Root, found.Key);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using var content = await client.GetObjectAsync(export.Bucket, found.Key);
            await using var file = File.Create(path);
            await content.ResponseStream.CopyToAsync(file);
        }

        return export.Root;
    }
}

/// <summary>An export of the chaos, and where it goes.</summary>
internal sealed record ChaosExport(Guid RunId, DataInterval Interval, FileFormat Format, string Root, string Bucket);
