using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Exporter.Engine.Tests.Chaos.Peers;

namespace Exporter.Engine.Tests.Benchmarks.Peers;

/// <summary>Works 2 and 3 with other engines on the same server, each beside ours in turn; what stands as the limit is the peer's rate.</summary>
internal sealed class PeerWorks(BenchServer server, ThroughputWorks ours, int repetitions, double scale, TextWriter output)
{
    private const int MostRepetitions = 3;

    public async Task<IEnumerable<Figure>> MeasureAsync()
    {
        var figures = new List<Figure> { await BesideAsync(2, "Hangfire.PostgreSql", 20, database => HangfireAsync(database, Scaled(5_000))) };
        if (await PeerPackages.FetchAsync(output))
        {
            figures.Add(await BesideAsync(2, "graphile-worker", 2.5, database => NodeAsync("graphile-worker", "jobs", Scaled(100_000), database)));
            if (PeerPackages.AbsurdSql(output) is { } sql)
            {
                figures.Add(await BesideAsync(2, "absurd", null, database => NodeAsync("absurd", "jobs", Scaled(5_000), database, sql)));
                figures.Add(await BesideAsync(3, "absurd", 40, database => NodeAsync("absurd", "steps", Scaled(1_000), database, sql)));
            }

            figures.Add(await BesideAsync(2, "DBOS", null, database => NodeAsync("dbos", "jobs", Scaled(4_000), database)));
            figures.Add(await BesideAsync(3, "DBOS", 75, database => NodeAsync("dbos", "steps", Scaled(1_000), database)));
        }

        return figures;
    }

    private static async Task<(string, double)> HangfireAsync(string database, int jobs) =>
        ($"Hangfire.PostgreSql {HangfirePeer.Version}", await HangfirePeer.DrainAsync(database, jobs));

    private async Task<(string Name, double Rate)> NodeAsync(string peer, string work, int count, string database, params string[] more)
    {
        JsonElement? said = null;
        var ended = await PeerPackages.RunAsync(
            Path.Combine(Path.GetDirectoryName(SourceFile())!, "peer-bench.mjs"),
            line => said = line.StartsWith('{') ? JsonSerializer.Deserialize<JsonElement>(line) : said,
            output,
            [peer, work, count.ToString(CultureInfo.InvariantCulture), PeerPackages.UrlOf(database), .. more]);
        return ended && said is { } answer
            ? ($"{answer.GetProperty("peer").GetString()} {answer.GetProperty("version").GetString()}", answer.GetProperty("rate").GetDouble())
            : throw new InvalidOperationException($"{peer} could not be measured.");
    }

    private async Task<Figure> BesideAsync(int work, string peer, double? bar, Func<string, Task<(string Name, double Rate)>> measureAsync)
    {
        var (own, theirs, name) = (new List<double>(), new List<double>(), peer);
        for (var repetition = 0; repetition < Math.Min(repetitions, MostRepetitions); repetition++)
        {
            own.Add(await ours.OnceAsync(work));
            var database = await server.CreateEmptyAsync();
            try
            {
                (name, var rate) = await measureAsync(database);
                theirs.Add(rate);
            }
            finally
            {
                await server.DropAsync(database);
            }
        }

        return new Figure
        {
            Work = work, What = $"{(work == 2 ? "no-op runs" : "ten-step runs")}, against {name}", Unit = work == 2 ? "runs/s" : "steps/s",
            Values = own, Limits = theirs, RatioBar = bar,
        };
    }

    private int Scaled(int count) => Math.Max((int)(count * scale), 50);

    private static string SourceFile([CallerFilePath] string file = "") => file;
}
