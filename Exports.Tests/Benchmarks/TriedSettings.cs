using System.Globalization;
using Exporter.Engine.Testing;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>
/// The same export with one thing changed, beside the default, in turn and in one run: what is said to help, and does or does not.
/// </summary>
internal sealed class TriedSettings(LocalPostgres postgres, LocalClickHouse clickHouse, string folder, IBenchTarget files)
{
    private const int Warming = 3;
    private static readonly FormatOptions Usual = new();

    private static readonly Tried[] All =
    [
        new("default"),
        new("batches of 1,024 rows") { Variables = { ["EXPORTER_CLICKHOUSE_SETTINGS"] = "max_block_size=1024" } },
        new("batches of 256 rows") { Variables = { ["EXPORTER_CLICKHOUSE_SETTINGS"] = "max_block_size=256" } },
        new("blocks of 4 MB") { Variables = { ["EXPORTER_CLICKHOUSE_SETTINGS"] = "preferred_block_size_bytes=4000000" } },
        new("blocks of 8 MB") { Variables = { ["EXPORTER_CLICKHOUSE_SETTINGS"] = "preferred_block_size_bytes=8000000" } },
        new("blocks of 4 MB, memory kept")
        {
            Variables =
            {
                ["EXPORTER_CLICKHOUSE_SETTINGS"] = "preferred_block_size_bytes=4000000",
                ["MALLOC_TRIM_THRESHOLD_"] = "268435456",
                ["MALLOC_TOP_PAD_"] = "16777216",
            },
        },
        new("nothing compressed on the wire") { Variables = { ["EXPORTER_CLICKHOUSE_COMPRESSION"] = "none" } },
        new("zstd on the wire") { Variables = { ["EXPORTER_CLICKHOUSE_COMPRESSION"] = "zstd" } },
        new("one thread for a query") { Variables = { ["EXPORTER_CLICKHOUSE_MAX_THREADS"] = "1" } },
        new("two slices at once") { Variables = { ["EXPORTER_WORKER_MEMORY"] = "400MB" } },
        new("freed memory kept by malloc") { Variables = { ["MALLOC_TRIM_THRESHOLD_"] = "268435456", ["MALLOC_TOP_PAD_"] = "16777216" } },
        new("everything compiled once") { Variables = { ["DOTNET_TieredCompilation"] = "0" } },
        new("no dictionaries") { Format = Usual with { Dictionary = false } },
        new("no statistics") { Format = Usual with { Statistics = false } },
        new("pages of 256 KiB") { Format = Usual with { PageBytes = 256 * 1024 } },
        new("pages of 4 MiB") { Format = Usual with { PageBytes = 4 * 1024 * 1024 } },
        new("zstd level 3") { Format = Usual with { CompressionLevel = 3 } },
        new("zstd level -1") { Format = Usual with { CompressionLevel = -1 } },
        new("zstd level -3") { Format = Usual with { CompressionLevel = -3 } },
        new("lz4") { Format = Usual with { Compression = Compression.Lz4 } },
        new("default, once more") { Variables = { ["EXPORTER_WORKER_NAME"] = "second" } },
    ];

    /// <summary>Measures those whose names have one of the words in them, and the default; prints a line for each.</summary>
    public async Task RunAsync(IReadOnlyCollection<string> words, int repetitions, Action<string, Pace> add)
    {
        var tried = All.Where(one => one.What.StartsWith("default", StringComparison.Ordinal) || words.Count == 0 || words.Any(word => one.What.Contains(word, StringComparison.OrdinalIgnoreCase))).ToList();
        var workers = new Dictionary<string, BenchWorker>(StringComparer.Ordinal);
        try
        {
            foreach (var one in tried)
            {
                if (workers.ContainsKey(one.Worker))
                {
                    continue;
                }

                workers[one.Worker] = await BenchWorker.StartAsync(postgres, clickHouse, folder, one.Variables);
                for (var i = 0; i < Warming; i++)
                {
                    await ExportAsync(one);
                }
            }

            var paces = tried.ToDictionary(one => one, _ => new List<Pace>());
            for (var i = 0; i < repetitions; i++)
            {
                foreach (var one in tried)
                {
                    paces[one].Add(await ExportAsync(one));
                }
            }

            await Console.Out.WriteLineAsync($"{"",-34} {"seconds",8} {"of default",10} {"wire MB",8} {"file MB",8} {"cpu s",6} {"server",7}");
            foreach (var one in tried)
            {
                paces[one].ForEach(pace => add("tried: " + one.What, pace));
                var median = Pace.Median(paces[one]);
                var ratio = paces[one].Zip(paces[tried[0]], (pace, usual) => pace.Seconds / usual.Seconds).Order().ElementAt(repetitions / 2);
                await Console.Out.WriteLineAsync(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{one.What,-34} {median.Seconds,8:0.00} {ratio,10:0.00} {median.WireBytes / 1e6,8:N0} {median.FileBytes / 1e6,8:N0} {paces[one].Average(pace => pace.CpuSeconds),6:0.00} {paces[one].Average(pace => pace.ServerCpuSeconds),7:0.00}"));
            }
        }
        finally
        {
            foreach (var worker in workers.Values)
            {
                await worker.DisposeAsync();
            }
        }

        async Task<Pace> ExportAsync(Tried one)
        {
            var pace = await workers[one.Worker].ExportAsync(BenchTable.Days(1), files.NewAsync, format: one.Format);
            foreach (var written in Directory.EnumerateDirectories(folder, "files-*"))
            {
                Directory.Delete(written, recursive: true);
            }

            return pace;
        }
    }

    private sealed record Tried(string What)
    {
        public Dictionary<string, string?> Variables { get; } = [];

        public FormatOptions Format { get; init; } = Usual;

        public string Worker => string.Join(' ', Variables.Select(pair => $"{pair.Key}={pair.Value}"));
    }
}
