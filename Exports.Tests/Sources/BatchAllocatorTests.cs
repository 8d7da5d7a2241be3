using Exporter.Exports.Sources;

namespace Exporter.Exports.Tests.Sources;

public sealed class BatchAllocatorTests
{
    [Test]
    public void A_block_that_was_given_back_is_the_next_one_of_about_its_size()
    {
        var memory = new BatchAllocator();
        using var held = memory.Allocate(1_000_000);
        var first = memory.Allocate(10_000_000);
        first.Memory.Span[0] = 42;
        first.Dispose();
        Assert.That(memory.Kept, Is.InRange(10_000_000, 12_500_000));
        using var second = memory.Allocate(9_900_000);
        Assert.That(memory.Kept, Is.Zero);
        Assert.That(second.Memory.Length, Is.EqualTo(9_900_000));
        Assert.That(second.Memory.Span[0], Is.EqualTo(42), "the same block");
    }

    [Test]
    public void Nothing_is_kept_once_nothing_is_in_use()
    {
        var memory = new BatchAllocator();
        var blocks = new[] { 100, 70_000, 5_000_000, 5_000_000 }.Select(size => memory.Allocate(size)).ToList();
        blocks.Skip(1).ToList().ForEach(block => block.Dispose());
        Assert.That(memory.Kept, Is.GreaterThan(10_000_000));
        blocks[0].Dispose();
        Assert.That(memory.Kept, Is.Zero);
    }

    [Test]
    public void What_was_given_back_twice_is_lent_once()
    {
        var memory = new BatchAllocator();
        using var held = memory.Allocate(1);
        var block = memory.Allocate(100_000);
        block.Dispose();
        block.Dispose();
        using var one = memory.Allocate(100_000);
        using var other = memory.Allocate(100_000);
        one.Memory.Span.Fill(1);
        other.Memory.Span.Fill(2);
        Assert.That(one.Memory.Span[50_000], Is.EqualTo(1));
    }
}
