using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;

namespace Exporter.Exports.Tests.Pipeline;

public sealed class MemoryPlanTests
{
    [TestCase(256, 2, 1)]
    [TestCase(512, 2, 3)]
    [TestCase(512, 16, 3)]
    [TestCase(2_000, 16, 17)]
    [TestCase(64_000, 4, 5)]
    public void As_many_slices_at_once_as_memory_and_cores_allow(long megabytes, int cores, int lanes)
    {
        var plan = MemoryPlan.Of(megabytes * 1_000_000, cores);
        Assert.That(plan.Lanes, Is.EqualTo(lanes));
        Assert.That(plan.ReadAheadBytes, Is.GreaterThan(10_000_000));
    }

    [Test]
    public void Too_little_memory_names_the_setting_and_what_is_enough()
    {
        var error = Assert.Throws<UserErrorException>(() => MemoryPlan.Of(255_999_999, 2));
        Assert.That(error!.Message, Does.Contain("worker_memory").And.Contain("256 MB"));
    }

    [TestCase("512MB", 512_000_000)]
    [TestCase("1.5 gib", 3L << 29)]
    [TestCase("64MiB", 64L << 20)]
    [TestCase("1000", 1000)]
    public void Sizes_are_read_as_people_write_them(string text, long bytes)
    {
        Assert.That(ByteSize.TryParse(text, out var read), Is.True);
        Assert.That(read, Is.EqualTo(bytes));
        Assert.That(ByteSize.TryParse(ByteSize.Format(bytes), out var again) && again == bytes, Is.True);
    }

    [TestCase("")]
    [TestCase("MB")]
    [TestCase("-1MB")]
    [TestCase("1e3MB")]
    [TestCase("99999999999999TB")]
    public void What_is_no_size_is_refused(string text) => Assert.That(ByteSize.TryParse(text, out _), Is.False);
}
