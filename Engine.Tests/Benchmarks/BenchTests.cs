using System.Text.Json;
using Exporter.Engine.Tests.Benchmarks.Peers;

namespace Exporter.Engine.Tests.Benchmarks;

/// <summary>The benches at a size at which they measure nothing, so that they still run when somebody needs them.</summary>
[NonParallelizable]
public sealed class BenchTests
{
    [Test]
    public async Task Works_of_each_kind_still_run_and_print_their_figures()
    {
        // The others are the same code with more processes, which take longer.
        using var output = new StringWriter();
        var status = await EngineBench.RunAsync(["works=1,3,4,6,8", "repeat=1", "scale=0.0005"], output);
        Assert.That(status, Is.EqualTo(0).Or.EqualTo(1), "met or missed: at this size no matter");
        var figures = Figures(output);
        Assert.That(figures.Select(figure => figure.GetProperty("work").GetInt32()).Distinct(), Is.EquivalentTo([1, 3, 4, 6, 8, 9]));
        Assert.That(
            figures.Where(figure => figure.GetProperty("unit").GetString() is "runs/s" or "steps/s" or "ms").Select(figure => figure.GetProperty("value").GetDouble()), Has.All.Positive);
    }

    [Test]
    public async Task The_soak_still_runs_and_ends_without_a_backlog()
    {
        using var output = new StringWriter();
        var status = await EngineSoak.RunAsync(["minutes=0.1"], output);
        Assert.That(status, Is.EqualTo(0).Or.EqualTo(1));
        var figures = Figures(output);
        Assert.That(figures.Select(figure => figure.GetProperty("work").GetInt32()), Has.All.EqualTo(11));
        Assert.That(
            figures.Single(figure => figure.GetProperty("what").GetString() == "runs started and not completed").GetProperty("value").GetDouble(), Is.Zero, output.ToString());
    }

    [Test]
    public async Task A_wrong_option_is_refused()
    {
        Assert.That(await EngineBench.RunAsync(["works=1", "repetitions=3"], TextWriter.Null), Is.EqualTo(2));
        Assert.That(await EngineSoak.RunAsync(["minutes=none"], TextWriter.Null), Is.EqualTo(2));
    }

    [Test]
    public async Task Hangfire_is_still_measured() => Assert.That(await HangfirePeer.DrainAsync(await TestPostgres.NewDatabaseAsync(), 50), Is.Positive);

    private static List<JsonElement> Figures(StringWriter output) =>
        [.. output.ToString().Split('\n').Where(line => line.StartsWith('{')).Select(line => JsonSerializer.Deserialize<JsonElement>(line))];
}
