using System.Globalization;
using Exporter.Engine.Testing;
using Exporter.Exports.Testing;

namespace Exporter.Exports.Tests.Benchmarks;

/// <summary>
/// <c>make bench-export DESTINATION=...</c>: <c>exporter worker</c> moves a day of events to a destination, from the order to the completed
/// run, and, in turn, the same rows to files; each has a worker of its own.
/// </summary>
internal static class DestinationBench
{
    private const string Beside = "files";

    /// <summary>Options: the kind; rows=N (100000), repeat=N (3), setting=NAME:NUMBER,... (any number of times) to measure the kind with these too.</summary>
    /// <returns>0, or 2 for a wrong option. There is no bar.</returns>
    public static async Task<int> RunAsync(string kind, string[] options)
    {
        var (rows, repetitions, kinds) = (100_000L, 3, new List<string> { kind });
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            if (!(option.Split('=') switch
            {
                ["rows", var number] => long.TryParse(number, CultureInfo.InvariantCulture, out rows) && rows >= 1000,
                ["repeat", var number] => int.TryParse(number, CultureInfo.InvariantCulture, out repetitions) && repetitions > 0,
                ["setting", var setting] => BenchTargets.AreSettings(setting) && Add($"{kind} {setting}"),
                _ => false,
            }))
            {
                await Console.Error.WriteLineAsync($"\"{option}\" is no option: rows=N of at least 1000, repeat=N, setting=NAME:NUMBER,....");
                return 2;
            }
        }

        if (!BenchTargets.Has(kind))
        {
            await Console.Error.WriteLineAsync($"\"{kind}\" is no destination that is measured: {BenchTargets.Names}, postgres.");
            return 2;
        }

        var folder = Directory.CreateTempSubdirectory("exporter-bench-").FullName;
        try
        {
            await RunAsync(kind == Beside ? kinds : [.. kinds, Beside], folder, rows, repetitions);
            return 0;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        bool Add(string name)
        {
            kinds.Add(name);
            return true;
        }
    }

    private static async Task RunAsync(IReadOnlyList<string> kinds, string folder, long rows, int repetitions)
    {
        await using var postgres = await LocalPostgres.StartAsync(new LocalPostgresOptions { Durable = true });
        await using var clickHouse = await LocalClickHouse.StartAsync();
        var table = new BenchTable(clickHouse, rows);
        await table.FillAsync(1);
        var jsonBytes = await table.JsonBytesAsync();
        var paces = new Dictionary<string, List<Pace>>();
        var ways = new List<(string Kind, IBenchTarget Target, BenchWorker Worker)>();
        try
        {
            foreach (var kind in kinds)
            {
                ways.Add((kind, await BenchTargets.OpenAsync(kind, folder), await BenchWorker.StartAsync(postgres, clickHouse, folder)));
            }

            // The first of each makes its worker warm and is not counted.
            for (var time = 0; time <= repetitions; time++)
            {
                foreach (var (kind, target, worker) in ways)
                {
                    var pace = await worker.ExportAsync(BenchTable.Days(1), target.NewAsync);
                    await target.ExpectAsync(rows);
                    var counted = paces.TryGetValue(kind, out var before) ? before : paces[kind] = [];
                    if (time > 0)
                    {
                        counted.Add(pace);
                    }
                }
            }
        }
        finally
        {
            foreach (var (_, target, worker) in ways)
            {
                await worker.DisposeAsync();
                await target.DisposeAsync();
            }
        }

        await SayAsync(kinds, paces, rows, jsonBytes);
    }

    private static async Task SayAsync(IReadOnlyList<string> kinds, Dictionary<string, List<Pace>> paces, long rows, long jsonBytes)
    {
        await Console.Out.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture, $"{rows:N0} rows, {jsonBytes / 1e6:N0} MB as JSONEachRow; {Environment.ProcessorCount} cores; median of {paces[kinds[0]].Count}; MB/s of JSON"));
        await Console.Out.WriteLineAsync(Pace.Header);
        foreach (var kind in kinds)
        {
            await Console.Out.WriteLineAsync(Pace.Line($"exporter to {kind}", paces[kind], jsonBytes));
        }

        foreach (var kind in kinds.Skip(1))
        {
            var ratio = paces[kinds[0]].Zip(paces[kind], (first, other) => first.Seconds / other.Seconds).Order().ElementAt(paces[kind].Count / 2);
            await Console.Out.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"time in parts of {kind}, of pairs one after the other: {ratio:0.00}"));
        }

        foreach (var kind in kinds)
        {
            await Console.Out.WriteLineAsync(Pace.Json($"exporter to {kind}", paces[kind]));
        }
    }
}
