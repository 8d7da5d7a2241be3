using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What destinations of files and of tables promise alike, and what their contracts need for it.</summary>
public abstract class SliceContract
{
    /// <summary>The export's name.</summary>
    protected const string Export = "events";

    private readonly List<IDestination> _open = [];

    /// <summary>The interval of all slices that do not say another.</summary>
    protected static DataInterval Day { get; } = IntervalOf(1);

    /// <summary>Whether what a slice that is given up has sent stays, where no reader sees it, until the slice or its run is through.</summary>
    protected virtual bool KeepsWhatIsGivenUp => false;

    /// <summary>A new instance at the same place, as a new process would make it.</summary>
    protected abstract IDestination Make(FormatOptions format);

    /// <summary>What a reader sees, sorted: the keys of files, the rows of a table.</summary>
    protected abstract Task<IReadOnlyList<string>> VisibleAsync();

    /// <summary>What is there and no reader sees: temporary files, uploads that are not complete, tables of the exporter's own.</summary>
    protected abstract Task<IReadOnlyList<string>> HiddenAsync();

    /// <summary>The same as <see cref="VisibleAsync"/>, with what tells other contents apart.</summary>
    protected virtual Task<IReadOnlyList<string>> SnapshotAsync() => VisibleAsync();

    [TearDown]
    public async Task CloseAsync()
    {
        foreach (var destination in _open)
        {
            await destination.DisposeAsync();
        }

        _open.Clear();
    }

    [Test]
    public async Task Finishing_again_changes_nothing()
    {
        var manifest = Manifest(await ExportAsync(Open(), Slice(0), "a"));
        await Open().FinishAsync(manifest, CancellationToken.None);
        var before = await SnapshotAsync();
        await Open().FinishAsync(manifest, CancellationToken.None);

        Assert.That(before, Is.Not.Empty);
        Assert.That(await SnapshotAsync(), Is.EqualTo(before));
    }

    [Test]
    public async Task A_check_passes_step_by_step_and_leaves_nothing_behind()
    {
        var results = await Open().CheckAsync(CancellationToken.None).ToListAsync();

        Assert.That(results.Select(result => result.Step), Is.EqualTo(new[] { "connect", "permissions", "write", "read back", "clean up" }));
        Assert.That(results, Has.All.Property(nameof(CheckResult.Ok)).True);
        Assert.That(await VisibleAsync(), Is.Empty);
        Assert.That(await HiddenAsync(), Is.Empty);
    }

    [Test]
    public async Task A_cancelled_commit_is_a_cancellation_and_leaves_nothing_half()
    {
        using var cancelled = new CancellationTokenSource();
        await using (var sink = await Open().OpenSliceAsync(Slice(0), SliceRows.Schema, CancellationToken.None))
        {
            await WriteAsync(sink, "a");
            await cancelled.CancelAsync();
            Assert.That(() => sink.CommitAsync(cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
        }

        Assert.That(await VisibleAsync(), Is.Empty);
        Assert.That(await HiddenAsync(), KeepsWhatIsGivenUp ? Is.Not.Null : Is.Empty);
    }

    /// <summary>The address of a slice of the contract's export and day.</summary>
    protected static SliceAddress Slice(int number, int attempt = 1, long token = 1, string? step = null) =>
        new(Export, Day, number, attempt, token) { StepKey = step };

    /// <summary>Writes the rows of a slice and commits it.</summary>
    protected static async Task<SliceReceipt> ExportAsync(IDestination destination, SliceAddress address, params string[] values)
    {
        ArgumentNullException.ThrowIfNull(destination);
        await using var sink = await destination.OpenSliceAsync(address, SliceRows.Schema, CancellationToken.None);
        await WriteAsync(sink, values);
        return await sink.CommitAsync(CancellationToken.None);
    }

    /// <summary>Writes one batch.</summary>
    protected static async Task WriteAsync(ISliceSink sink, params string[] values)
    {
        ArgumentNullException.ThrowIfNull(sink);
        using var batch = SliceRows.Batch(values);
        await sink.WriteAsync(batch, CancellationToken.None);
    }

    /// <summary>What a run of these slices ends with.</summary>
    protected static RunManifest Manifest(params SliceReceipt[] slices) =>
        new() { Export = Export, Interval = Day, RunId = Guid.NewGuid(), Slices = slices };

    /// <summary>A day of January.</summary>
    protected static DataInterval IntervalOf(int day) => new(
        new DateTimeOffset(2026, 1, day, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, day + 1, 0, 0, 0, TimeSpan.Zero));

    /// <summary>Text that hardly compresses, the same for the same seed.</summary>
    protected static string Noise(int seed, int length)
    {
        var bytes = new byte[length / 2];
        new Random(seed).NextBytes(bytes);
        return Convert.ToHexString(bytes);
    }

    /// <summary>A new instance, disposed of at the test's end.</summary>
    protected IDestination Open(FormatOptions? format = null)
    {
        var destination = Make(format ?? new FormatOptions());
        _open.Add(destination);
        return destination;
    }
}
