using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>
/// What every destination of tables promises of merge mode. A destination's own fixture makes an empty place before each test, says how to
/// reach it, and adds what is its own.
/// </summary>
public abstract class MergeContract
{
    private static readonly TestTable Table = new("id", "version", "text:text", "gone:uint8");
    private static readonly DataInterval Day = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));
    private int _slice;

    /// <summary>A new instance at the same place with these settings; one with the value null is left out.</summary>
    protected abstract IDestination Open(params (string Name, object? Value)[] settings);

    /// <summary>The column text of the table events, in the order of its ids.</summary>
    protected abstract Task<IReadOnlyList<string?>> TextsAsync();

    /// <summary>How many commits the destination knows of.</summary>
    protected abstract Task<long> CommitsAsync();

    [SetUp]
    public void BeginWithTheFirstSlice() => _slice = 0;

    [Test]
    public async Task Of_a_key_the_highest_version_stays_whichever_comes_first()
    {
        await ExportAsync(Merge(), [1, 2, "one, second", 0], [1, 1, "one, first", 0], [2, 5, "two, fifth", 0]);
        await ExportAsync(Merge(), [1, 3, "one, third", 0], [2, 4, "two, fourth", 0], [3, 1, "three", 0]);

        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "one, third", "two, fifth", "three" }));
    }

    [Test]
    public async Task Of_equal_versions_the_later_export_stays()
    {
        await ExportAsync(Merge(), [1, 1, "old", 0], [2, 1, "same", 0]);
        await ExportAsync(Merge(), [1, 1, "new", 0], [2, 1, "same", 0]);

        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "new", "same" }));
    }

    [Test]
    public async Task Without_a_version_the_row_that_came_last_stays()
    {
        await ExportAsync(Merge(("version", null)), [1, 9, "first", 0], [1, 1, "second", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "second" }));
        await ExportAsync(Merge(("version", null)), [1, 0, "third", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "third" }));
    }

    [Test]
    public async Task A_row_with_the_flag_is_deleted_and_an_older_one_does_not_bring_it_back()
    {
        await ExportAsync(Deleting(), [1, 1, "one", 0], [2, 1, "two", 0]);
        await ExportAsync(Deleting(), [1, 3, "one", 1], [9, 3, "never there", 1]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "two" }));

        await ExportAsync(Deleting(), [1, 2, "one, late", 0], [9, 2, "nine, late", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "two" }), "they are older than the deletion");

        await ExportAsync(Deleting(), [1, 4, "one, anew", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "one, anew", "two" }));
    }

    [Test]
    public async Task An_older_deletion_leaves_a_newer_row_alone()
    {
        await ExportAsync(Deleting(), [1, 5, "newer", 0]);
        await ExportAsync(Deleting(), [1, 4, "older", 1]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "newer" }));
    }

    [Test]
    public async Task Without_a_version_the_flag_of_the_last_row_decides()
    {
        await ExportAsync(Deleting(("version", null)), [1, 0, "one", 0], [2, 0, "two", 0]);
        await ExportAsync(Deleting(("version", null)), [1, 0, "one", 0], [1, 0, "one", 1], [2, 0, "two", 1], [2, 0, "two, again", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "two, again" }));
    }

    [Test]
    public async Task Slices_of_one_table_merged_at_once_leave_the_newest_row_of_each_key()
    {
        await using var destination = Deleting();
        await Task.WhenAll(Enumerable.Range(0, 6).Select(slice => WriteAsync(
            destination, slice, [.. Enumerable.Range(0, 200).Select(row => new object?[] { row, slice, $"{row} in {slice}", row == 7 && slice == 5 ? 1 : 0 })])));

        var texts = await TextsAsync();
        Assert.That(texts, Has.Count.EqualTo(199));
        Assert.That(texts, Is.All.EndsWith(" in 5"));
    }

    [Test]
    public async Task Exported_again_nothing_changes()
    {
        for (var time = 0; time < 2; time++)
        {
            BeginWithTheFirstSlice();
            await ExportAsync(Deleting(), [1, 2, "one", 0], [2, 2, "two", 1]);
        }

        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "one" }));
        Assert.That(await CommitsAsync(), Is.EqualTo(1));
    }

    [TestCase("key", "missing")]
    [TestCase("version", "missing")]
    [TestCase("delete_column", "missing")]
    [TestCase("delete_column", "text")]
    public void A_column_that_the_export_lacks_or_that_is_no_flag_is_refused_by_its_setting(string setting, string column) => Assert.That(
        () => ExportAsync(Deleting((setting, column)), [1, 1, "one", 0]),
        Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo(setting));

    /// <summary>A destination that merges by key and version.</summary>
    protected IDestination Merge(params (string Name, object? Value)[] more) => Open([("mode", "merge"), ("key", "id"), ("version", "version"), .. more]);

    /// <summary>The same, which deletes rows with the flag.</summary>
    protected IDestination Deleting(params (string Name, object? Value)[] more) => Merge([("delete_column", "gone"), .. more]);

    /// <summary>Writes the next slice's rows (id, version, text, gone), commits it and closes the destination.</summary>
    protected async Task ExportAsync(IDestination destination, params object?[][] rows)
    {
        ArgumentNullException.ThrowIfNull(destination);
        await using (destination)
        {
            await WriteAsync(destination, _slice++, rows);
        }
    }

    private static async Task WriteAsync(IDestination destination, int slice, object?[][] rows)
    {
        await using var sink = await destination.OpenSliceAsync(new SliceAddress("events", Day, slice, 1, 1), Table.Schema, default);
        using var batch = Table.Batch(rows);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);
    }
}
