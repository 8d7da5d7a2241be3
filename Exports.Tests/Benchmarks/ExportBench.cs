using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Exporter.Engine.Testing;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>
/// What <c>make bench-export</c> calls: exports beside ClickHouse writing the same files itself, beside JSON row by row, and beside
/// another engine, on the same rows in one run; how much memory a worker takes, and how that grows.
/// </summary>
internal sealed class ExportBench : IAsyncDisposable
{
    private const int RowGroupRows = 20_000;
    private const double MemoryMegabytes = 512;
    private const double LargeSeconds = 30;
    private const int LargeDays = 4;
    private const int LongDays = 10;
    private const int Warming = 3;

    private readonly LocalPostgres _postgres;
    private readonly LocalClickHouse _clickHouse;
    private readonly BenchTable _table;
    private readonly int _repetitions;
    private readonly string _folder = Directory.CreateTempSubdirectory("exporter-bench-").FullName;
    private readonly Dictionary<string, List<Pace>> _paces = [];
    private readonly List<Bar> _bars = [];
    private readonly IBenchTarget _files;

    private ExportBench(LocalPostgres postgres, LocalClickHouse clickHouse, long rows, int repetitions)
    {
        _postgres = postgres;
        _clickHouse = clickHouse;
        _table = new BenchTable(clickHouse, rows);
        _repetitions = repetitions;
        _files = BenchTargets.Files(_folder);
    }

    /// <summary>Options: rows=N (200000), repeat=N (3), works=pace,s3,two,large,memory (all these), tried; tried=WORDS only such settings.</summary>
    /// <returns>0 when every bar is met, 1 when one is missed, 2 for a wrong option.</returns>
    public static async Task<int> RunAsync(string[] options)
    {
        var (rows, repetitions, works, tried) = (200_000L, 3, new HashSet<string>(StringComparer.Ordinal), new List<string>());
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            switch (option.Split('='))
            {
                case ["rows", var number] when long.TryParse(number, CultureInfo.InvariantCulture, out rows) && rows >= 1000:
                    break;
                case ["repeat", var number] when int.TryParse(number, CultureInfo.InvariantCulture, out repetitions) && repetitions > 0:
                    break;
                case ["works", var list]:
                    works.UnionWith(list.Split(','));
                    break;
                case ["tried", var list]:
                    works.Add("tried");
                    tried.AddRange(list.Split(','));
                    break;
                default:
                    await Console.Error.WriteLineAsync($"\"{option}\" is no option: rows=N of at least 1000, repeat=N, works=pace,s3,two,large,memory,tried, tried=WORDS.");
                    return 2;
            }
        }

        await using var postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true });
        await using var clickHouse = await LocalClickHouse.StartAsync();
        await using var bench = new ExportBench(postgres, clickHouse, rows, repetitions);
        return await bench.RunAsync(works, tried);
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    private async Task<int> RunAsync(HashSet<string> works, IReadOnlyCollection<string> tried)
    {
        bool Asked(string work) => works.Count == 0 || works.Contains(work);
        await _table.FillAsync(1);
        var jsonBytes = await _table.JsonBytesAsync();
        await Console.Out.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture, $"{_table.Rows:N0} rows a day, {jsonBytes / 1e6:N0} MB as JSONEachRow, {jsonBytes / _table.Rows:N0} bytes a row; {Environment.ProcessorCount} cores"));
        if (Asked("pace") || Asked("s3"))
        {
            await PaceAsync(withS3: Asked("s3"), jsonBytes);
        }

        if (Asked("two"))
        {
            await TwoAsync();
        }

        if (works.Contains("tried"))
        {
            await new TriedSettings(_postgres, _clickHouse, _folder, _files).RunAsync(tried, _repetitions, Add);
        }

        if (Asked("large") || Asked("memory"))
        {
            await GrowthAsync(Asked("large"), Asked("memory"), jsonBytes);
        }

        foreach (var (what, paces) in _paces)
        {
            await Console.Out.WriteLineAsync(Pace.Json(what, paces));
        }

        foreach (var bar in _bars)
        {
            await Console.Out.WriteLineAsync(bar.Json());
        }

        return _bars.TrueForAll(bar => bar.IsMet) ? 0 : 1;
    }

    // In turn, so that a slow moment of the machine is in each.
    private async Task PaceAsync(bool withS3, long jsonBytes)
    {
        const string Old = "JSON row by row";
        const string Ours = "exporter to files";
        const string OursS3 = "exporter to S3";
        const string Streamed = "ClickHouse, streamed to a file";
        const string Inserted = "ClickHouse, into file()";
        const string InsertedS3 = "ClickHouse, into s3()";
        const string Duck = "DuckDB, Parquet to Parquet";
        var day = BenchTable.Days(1);
        await using var s3 = withS3 ? await BenchTargets.OpenAsync("s3", _folder) : null;
        await using var worker = await BenchWorker.StartAsync(_postgres, _clickHouse, _folder);
        await WarmAsync(worker);
        for (var i = 0; i < _repetitions; i++)
        {
            Add(Ours, await worker.ExportAsync(day, _files.NewAsync));
            Add(Streamed, await PeerAsync("clickhouse", Address()));
            Add(Inserted, await PeerAsync("clickhouse-file", Address()));
            if (s3 is not null)
            {
                var lake = await s3.NewAsync();
                Add(OursS3, await worker.ExportAsync(day, () => Task.FromResult(lake)));
                Add(InsertedS3, await PeerAsync("clickhouse-s3", Address(), ObjectIn(lake)));
            }

            Add(Duck, await PeerAsync("duckdb", new Uri(Path.Combine(_folder, "clickhouse.out")).ToString()));
            Add(Old, await PeerAsync("old", Address()));
        }

        await Console.Out.WriteLineAsync(Pace.Header);
        foreach (var (what, paces) in _paces)
        {
            await Console.Out.WriteLineAsync(Pace.Line(what, paces, jsonBytes));
        }

        Hold($"{Ours}: time in parts of {Streamed}", Ratio(Ours, Streamed), 1.0);
        Hold($"{Ours}: time in parts of {Inserted}", Ratio(Ours, Inserted), 1.0);
        if (withS3)
        {
            Hold($"{OursS3}: time in parts of {Streamed}", Ratio(OursS3, Streamed), 1.2);
            Hold($"{OursS3}: time in parts of {InsertedS3}", Ratio(OursS3, InsertedS3), 1.2);
        }

        Hold($"{Ours}: time in parts of {Old}", Ratio(Ours, Old), 1 / 5.0);
        Hold($"{Ours}: bytes on the wire in parts of JSONEachRow", (double)_paces[Ours][0].WireBytes / _paces[Old][0].WireBytes, 1 / 5.0);
        Hold($"{Ours}: peak memory in MB", _paces[Ours].Max(pace => pace.PeakMegabytes), MemoryMegabytes);
    }

    private async Task TwoAsync()
    {
        await using var worker = await BenchWorker.StartAsync(_postgres, _clickHouse, _folder);
        await WarmAsync(worker);
        var (one, two) = (new List<Pace>(), new List<Pace>());
        for (var i = 0; i < _repetitions; i++)
        {
            one.Add(await worker.ExportAsync(BenchTable.Days(1), _files.NewAsync));
            two.Add(await worker.ExportAsync(BenchTable.Days(1), _files.NewAsync, times: 2));
        }

        _paces["one export"] = one;
        _paces["two exports at once"] = two;
        Hold("two exports at once: time in parts of one", two.Zip(one, (both, single) => both.Seconds / single.Seconds).Order().ElementAt(_repetitions / 2), 2);
    }

    // A worker of its own for each size, so that each has its own peak.
    private async Task GrowthAsync(bool large, bool memory, long jsonBytes)
    {
        await Console.Out.WriteLineAsync(Pace.Header);
        var peaks = new Dictionary<int, double>();
        foreach (var days in new[] { memory ? 1 : 0, large ? LargeDays : 0, memory ? LongDays : 0 }.Where(days => days > 0))
        {
            await _table.FillAsync(days);
            await using var worker = await BenchWorker.StartAsync(_postgres, _clickHouse, _folder);
            var pace = await worker.ExportAsync(BenchTable.Days(days), _files.NewAsync);
            if (pace.Rows != days * _table.Rows)
            {
                throw new InvalidOperationException($"{pace.Rows:N0} rows were exported of {days} days.");
            }

            var what = string.Create(CultureInfo.InvariantCulture, $"{pace.Rows:N0} rows, a fresh worker");
            Add(what, pace);
            peaks[days] = pace.PeakMegabytes;
            await Console.Out.WriteLineAsync(Pace.Line(what, [pace], jsonBytes * days));
            if (days == LargeDays)
            {
                Hold($"{what}: seconds", pace.Seconds, LargeSeconds);
            }

            foreach (var folder in Directory.EnumerateDirectories(_folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        if (memory)
        {
            Hold("peak memory in MB", peaks[1], MemoryMegabytes);
            Hold("ten times the rows: peak memory in parts", peaks[LongDays] / peaks[1], 1.1);
        }
    }

    // A worker lives for weeks; in its first exports a tenth of its time is the compiler's.
    private async Task WarmAsync(BenchWorker worker)
    {
        for (var i = 0; i < Warming; i++)
        {
            await worker.ExportAsync(BenchTable.Days(1), _files.NewAsync);
        }
    }

    private void Add(string what, Pace pace) => (_paces.TryGetValue(what, out var paces) ? paces : _paces[what] = []).Add(pace);

    // Of pairs that were measured one after the other.
    private double Ratio(string what, string other) =>
        _paces[what].Zip(_paces[other], (pace, beside) => pace.Seconds / beside.Seconds).Order().ElementAt(_repetitions / 2);

    private void Hold(string what, double value, double most)
    {
        var bar = new Bar(what, value, most);
        _bars.Add(bar);
        Console.Out.WriteLine(bar.ToString());
    }

    private string Address() => string.Create(
        CultureInfo.InvariantCulture,
        $"http://127.0.0.1:{_clickHouse.HttpPort}/?user={LocalClickHouse.User}&password={LocalClickHouse.Password}&output_format_parquet_compression_method=zstd&output_format_parquet_row_group_size={RowGroupRows}&engine_file_truncate_on_insert=1");

    private async Task<Pace> PeerAsync(string peer, string source, string? output = null)
    {
        var day = BenchTable.Days(1);
        var small = BenchTable.Where(new DataInterval(day.Start, day.Start.AddHours(6)));
        var start = new ProcessStartInfo(
            "dotnet",
            [
                "exec", typeof(ExportBench).Assembly.Location, "bench-peer", peer, source, _clickHouse.ProcessId.ToString(CultureInfo.InvariantCulture),
                small, BenchTable.Where(day), output ?? Path.Combine(_folder, peer + ".out"),
            ])
        {
            RedirectStandardOutput = true,
        };
        using var process = Process.Start(start)!;
        var said = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        var pace = JsonSerializer.Deserialize<Pace>(said)!;
        return pace.Rows > 0 ? pace : pace with { Rows = _table.Rows };
    }

    // As ClickHouse is told of it: with its keys in the address.
    private static string ObjectIn(Destination lake) => new UriBuilder(new Uri(new Uri(lake.Settings["endpoint"]!.ToString()), $"{lake.Settings["bucket"]}/clickhouse.parquet"))
    {
        UserName = lake.Secrets["access_key"],
        Password = lake.Secrets["secret_key"],
    }.Uri.ToString();
}
