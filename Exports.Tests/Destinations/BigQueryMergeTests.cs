using System.Globalization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class BigQueryMergeTests : MergeContract
{
    private BigQueryServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await BigQueryServer.StartAsync();

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
    public async Task Columns_by_which_BigQuery_cannot_compare_rows_are_refused()
    {
        var error = await Assert.CatchAsync<UserErrorException>(async () => await Merge(("key", "flag:text")).OpenSliceAsync(
            new SliceAddress("events", new(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1)), 0, 1, 1),
            new([new("flag:text", Apache.Arrow.Types.DoubleType.Default, false)], null),
            default));
        Assert.That(error!.Setting, Is.EqualTo("columns"), "its name is none either");
        error = await Assert.CatchAsync<UserErrorException>(async () => await Merge(("key", "x"), ("version", null)).OpenSliceAsync(
            new SliceAddress("events", new(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1)), 0, 1, 1),
            new([new("x", Apache.Arrow.Types.DoubleType.Default, false)], null),
            default));
        Assert.That((error!.Setting, error.Message.Contains("FLOAT64", StringComparison.Ordinal)), Is.EqualTo(("key", true)));
    }

    protected override IDestination Open(params (string Name, object? Value)[] settings) => _server.Open(settings);

    protected override async Task<IReadOnlyList<string?>> TextsAsync() => await _server.ListAsync("SELECT text FROM \"test-project\".analytics.events ORDER BY id");

    protected override async Task<long> CommitsAsync() => long.Parse(
        (await _server.ListAsync("SELECT count(*) FROM \"test-project\".analytics._exporter_commits_events WHERE committed_at IS NOT NULL")).Single()!, CultureInfo.InvariantCulture);
}
