using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class RedshiftMergeTests : MergeContract
{
    private RedshiftServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

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
    public async Task Inserted_rows_are_merged_as_copied_ones_are()
    {
        await ExportAsync(Deleting(("load", "insert")), [1, 2, "one, second", 0], [1, 1, "one, first", 0], [2, 5, "two", 0]);
        await ExportAsync(Deleting(("load", "insert")), [1, 1, "one, late", 0], [2, 6, "two", 1], [3, 1, "three", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "one, second", "three" }));
    }

    [TestCase("key")]
    [TestCase("version")]
    public void A_column_that_cannot_be_compared_is_refused_by_its_setting(string setting)
    {
        var table = new TestTable("id", "version", "list");
        var schema = new Apache.Arrow.Schema([.. table.Schema.FieldsList.Take(2), new("list", new Apache.Arrow.Types.ListType(Apache.Arrow.Types.Int64Type.Default), nullable: true)], null);
        Assert.That(
            () => Merge((setting, "list")).OpenSliceAsync(new SliceAddress("events", new(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1)), 0, 1, 1), schema, default),
            Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo(setting).And.Message.Contains("SUPER"));
    }

    protected override IDestination Open(params (string Name, object? Value)[] settings) => _server.Open(settings);

    protected override async Task<IReadOnlyList<string?>> TextsAsync() => await _server.ListAsync<string?>("select text from events order by id");

    protected override async Task<long> CommitsAsync() => (await _server.ListAsync<long>("select count(*) from _exporter_commits"))[0];
}
