namespace Exporter.Engine.Tests.Chaos;

/// <summary>A short <c>make chaos</c>, and proof that it can fail.</summary>
public sealed class ChaosTests
{
    [Test]
    public async Task Nothing_is_lost_done_twice_or_stuck_whatever_happens_to_workers_connections_and_PostgreSQL()
    {
        // Nine cycles: each fault comes at least once.
        var figures = await ChaosDriver.RunAsync(new ChaosSettings { Cycles = 9, Seed = 7 }, TestContext.Out);
        TestContext.Out.WriteLine(figures);
        Assert.That(figures.IsGood, figures.ToString());
        Assert.That(figures.Takeovers, Is.Positive, "runs were taken over");
        Assert.That(figures.Cuts, Is.Positive, "connections were cut");
    }

    [Test]
    public async Task Without_the_fence_the_same_checks_fail()
    {
        var log = new StringWriter();
        var figures = await ChaosDriver.RunAsync(new ChaosSettings { Cycles = 4, Seed = 7, Fault = "freeze", Unfenced = true }, log);
        TestContext.Out.WriteLine(figures);
        TestContext.Out.WriteLine(log);
        Assert.That(figures.IsGood, Is.False);
        Assert.That(figures.Verdict.Twice, Is.Positive, "two outputs of one step were taken for recorded");
    }
}
