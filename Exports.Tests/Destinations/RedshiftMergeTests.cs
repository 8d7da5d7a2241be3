using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

[TestFixture("copy")]
[TestFixture("insert")]
public sealed class RedshiftMergeTests(string load)
{
    private static readonly TestTable Table = new("id", "version", "text:text", "gone:uint8");
    private RedshiftServer _server = null!;
    private int _slice;

    [SetUp]
    public async Task MakeAsync() => (_server, _slice) = (await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync()), 0);

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

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
    public async Task A_key_with_a_missing_value_is_one_row_too()
    {
        await ExportAsync(Merge(), [null, 1, "first", 0], [null, 2, "second", 0]);
        await ExportAsync(Merge(), [null, 3, "third", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "third" }));
    }

    [Test]
    public async Task A_version_that_is_missing_is_the_oldest()
    {
        await ExportAsync(Merge(), [1, null, "none", 0], [1, 1, "first", 0]);
        await ExportAsync(Merge(), [1, null, "none again", 0], [2, null, "two", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "first", "two" }));
    }

    [Test]
    public async Task Columns_of_your_own_stay_when_a_row_is_updated()
    {
        await ExportAsync(Merge(), [1, 1, "one", 0]);
        await _server.ExecuteAsync("alter table events add column mine text; update events set mine = 'kept'");
        await ExportAsync(Merge(), [1, 2, "one, second", 0]);
        Assert.That(await _server.ListAsync<string>("select text || ' ' || mine from events"), Is.EqualTo(new[] { "one, second kept" }));
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
            _slice = 0;
            await ExportAsync(Deleting(), [1, 2, "one", 0], [2, 2, "two", 1]);
        }

        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "one" }));
        Assert.That(await _server.ListAsync<int>("select slice from _exporter_commits"), Has.Count.EqualTo(1));
    }

    [TestCase("key", "missing")]
    [TestCase("version", "missing")]
    [TestCase("delete_column", "missing")]
    [TestCase("delete_column", "text")]
    public void A_column_that_the_export_lacks_or_that_is_no_flag_is_refused_by_its_setting(string setting, string column) => Assert.That(
        () => ExportAsync(Deleting((setting, column)), [1, 1, "one", 0]),
        Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo(setting));

    private IDestination Merge(params (string, object?)[] more) => _server.Open([("load", load), ("mode", "merge"), ("key", "ID"), ("version", "version"), .. more]);

    private IDestination Deleting(params (string, object?)[] more) => Merge([("delete_column", "gone"), .. more]);

    private async Task ExportAsync(IDestination destination, params object?[][] rows)
    {
        await using (destination)
        {
            await WriteAsync(destination, _slice++, rows);
        }
    }

    private static async Task WriteAsync(IDestination destination, int slice, object?[][] rows)
    {
        var day = new DataInterval(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));
        await using var sink = await destination.OpenSliceAsync(new SliceAddress("events", day, slice, 1, 1), Table.Schema, default);
        using var batch = Table.Batch(rows);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);
    }

    private Task<List<string>> TextsAsync() => _server.ListAsync<string>("select text from events order by id");
}
