using System.Globalization;
using Exporter.Engine.Tests.Benchmarks.Peers;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>What <c>make bench-engine</c> calls: measures the engine, and beside it what bare SQL reaches on the same server.</summary>
internal static class EngineBench
{
    /// <summary>Options: works=1,2,3 (all), repeat=N (5), scale=X (1, a part of the sizes), peers=1 (other engines too).</summary>
    /// <returns>0 when every bar is met, 1 when one is missed, 2 for a wrong option.</returns>
    public static async Task<int> RunAsync(string[] options, TextWriter output)
    {
        var (works, repetitions, scale, peers) = (new HashSet<int>(), 5, 1.0, false);
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            switch (option.Split('='))
            {
                case ["works", var list]:
                    works.UnionWith(list.Split(',').Select(work => int.Parse(work, CultureInfo.InvariantCulture)));
                    break;
                case ["repeat", var number]:
                    repetitions = int.Parse(number, CultureInfo.InvariantCulture);
                    break;
                case ["scale", var number]:
                    scale = double.Parse(number, CultureInfo.InvariantCulture);
                    break;
                case ["peers", var asked]:
                    peers = asked != "0";
                    break;
                default:
                    await Console.Error.WriteLineAsync($"\"{option}\" is no option: works=1,2,3, repeat=N, scale=X, peers=1.");
                    return 2;
            }
        }

        await using var server = await BenchServer.StartAsync();
        var throughput = new ThroughputWorks(server, repetitions, scale);
        var latency = new LatencyWorks(server, scale);
        var crowd = new ScaleWorks(server, repetitions, scale);
        var all = new SortedDictionary<int, Func<Task<IEnumerable<Figure>>>>
        {
            [1] = throughput.StartAsync, [2] = throughput.DrainAsync, [3] = throughput.StepsAsync, [4] = latency.FirstLineAsync,
            [5] = crowd.CrowdedAsync, [6] = new ScheduleWorks(server, scale).LagAsync, [7] = crowd.WorkersAsync, [8] = crowd.BloatAsync, [10] = latency.IdleAsync,
        };
        var figures = new List<Figure>();
        await output.WriteLineAsync(Figure.Header);
        var chosen = all.Where(work => works.Count == 0 || works.Contains(work.Key)).Select(work => work.Value).ToList();
        if (peers)
        {
            chosen.Add(new PeerWorks(server, throughput, repetitions, scale, output).MeasureAsync);
        }

        foreach (var measure in chosen)
        {
            foreach (var figure in await measure())
            {
                figures.Add(figure);
                await output.WriteLineAsync(figure.ToString());
            }
        }

        figures.ForEach(figure => output.WriteLine(figure.ToJson()));
        return figures.TrueForAll(figure => figure.IsMet) ? 0 : 1;
    }
}
