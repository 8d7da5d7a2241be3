using System.Globalization;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>What <c>make soak-engine</c> calls: work 11.</summary>
internal static class EngineSoak
{
    /// <summary>Option: minutes=N (15).</summary>
    /// <returns>0 when every bar is met, 1 when one is missed, 2 for a wrong option.</returns>
    public static async Task<int> RunAsync(string[] options, TextWriter output)
    {
        var minutes = 15.0;
        foreach (var option in options.Where(option => !option.EndsWith('=')))
        {
            if (option.Split('=') is not ["minutes", var number] || !double.TryParse(number, CultureInfo.InvariantCulture, out minutes) || minutes <= 0)
            {
                await Console.Error.WriteLineAsync($"\"{option}\" is no option: minutes=N.");
                return 2;
            }
        }

        await using var server = await BenchServer.StartAsync();
        var figures = (await new SoakWork(server, TimeSpan.FromMinutes(minutes), output).MeasureAsync()).ToList();
        await output.WriteLineAsync();
        await output.WriteLineAsync(Figure.Header);
        figures.ForEach(figure => output.WriteLine(figure.ToString()));
        figures.ForEach(figure => output.WriteLine(figure.ToJson()));
        return figures.TrueForAll(figure => figure.IsMet) ? 0 : 1;
    }
}
