namespace Exporter.Engine.Tests.Models;

/// <summary>The protocol of <see cref="LeaseProtocol"/> looked at in every interleaving, and what each mistake in it would cost.</summary>
public sealed class LeaseProtocolTests
{
    [Test]
    public void No_interleaving_breaks_a_rule_or_leaves_a_run_stuck()
    {
        var finding = Explore(Mistake.None, faults: 2);
        TestContext.Out.WriteLine(finding);
        Assert.That(finding.Breach, Is.Null, finding.ToString());
        Assert.That(finding.Worlds, Is.GreaterThan(1_000_000));
    }

    // The fewest faults that show it, and the rule that it breaks.
    [TestCase(nameof(Mistake.WritesCheckNoEpoch), 1, "no longer held the run")]
    [TestCase(nameof(Mistake.WritesCheckWithoutHoldingTheRow), 1, "no longer held the run")]
    [TestCase(nameof(Mistake.LeaseCountsFromTheAnswer), 1, "believes in its lease")]
    [TestCase(nameof(Mistake.ClaimRaisesNoEpoch), 2, "no longer held the run")]
    [TestCase(nameof(Mistake.LeavesWithoutLookingAtEventsAgain), 0, "stuck")]
    [TestCase(nameof(Mistake.LooksForASignalBeforeCounting), 0, "stuck")]
    [TestCase(nameof(Mistake.SignalDoesNotWake), 0, "stuck")]
    [TestCase(nameof(Mistake.CompletesByIdAlone), 1, "no longer held the run")]
    [TestCase(nameof(Mistake.TakesAndRecordsInTwoTransactions), 1, "took two signals")]
    [TestCase(nameof(Mistake.RepeatsATakeBlindly), 1, "took two signals")]
    [TestCase(nameof(Mistake.StraysAreKept), 1, "stuck")]
    public void A_mistake_in_the_protocol_is_found(string mistake, int faults, string breach)
    {
        var finding = Explore(Enum.Parse<Mistake>(mistake), faults);
        TestContext.Out.WriteLine(finding);
        Assert.That(finding.Breach, Does.Contain(breach), finding.ToString());
        Assert.That(faults == 0 ? null : Explore(Enum.Parse<Mistake>(mistake), faults - 1).Breach, Is.Null, "it takes fewer faults");
    }

    [Test]
    public void Every_mistake_is_tried() => Assert.That(
        typeof(LeaseProtocolTests).GetMethod(nameof(A_mistake_in_the_protocol_is_found))!.GetCustomAttributes(typeof(TestCaseAttribute), false)
            .Select(attribute => ((TestCaseAttribute)attribute).Arguments[0]),
        Is.EquivalentTo(Enum.GetNames<Mistake>().Where(name => name != nameof(Mistake.None))));

    private static Finding Explore(Mistake mistake, int faults) => new StateSpace<World>(new LeaseProtocol(mistake, (byte)faults)).Explore();
}
