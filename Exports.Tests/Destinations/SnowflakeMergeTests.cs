using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class SnowflakeMergeTests : MergeContract
{
    private SnowflakeServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await SnowflakeServer.StartAsync(await TestServers.S3Async());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_key_with_a_missing_value_is_one_row_too()
    {
        await ExportAsync(Merge(), [null, 1, "first", 0], [null, 2, "second", 0]);
        await ExportAsync(Merge(), [null, 3, "third", 0]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "third" }));
    }

    protected override IDestination Open(params (string Name, object? Value)[] settings) => _server.Open(settings);

    protected override async Task<IReadOnlyList<string?>> TextsAsync() =>
        await _server.ListAsync("SELECT \"TEXT\" FROM \"ANALYTICS\".\"PUBLIC\".\"EVENTS\" ORDER BY \"ID\"");

    protected override async Task<long> CommitsAsync() =>
        (await _server.ListAsync("SELECT \"SLICE\" FROM \"ANALYTICS\".\"PUBLIC\".\"_EXPORTER_COMMITS\"")).Count;
}
