using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class SnowflakeContract : TableContract
{
    private SnowflakeServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await SnowflakeServer.StartAsync(await TestServers.S3Async());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    protected override IDestination Make() => _server.Open();

    protected override async Task<IReadOnlyList<string>> ValuesAsync(string name) =>
        (await _server.ListAsync($"SELECT 1 FROM information_schema.tables WHERE table_catalog = 'ANALYTICS' AND table_name = '{name.ToUpperInvariant()}'")).Count == 0
            ? []
            : [.. (await _server.ListAsync($"SELECT \"VALUE\" FROM \"ANALYTICS\".\"PUBLIC\".\"{name.ToUpperInvariant()}\" ORDER BY 1")).Select(value => value!)];

    protected override async Task<IReadOnlyList<string>> LeftoversAsync() =>
    [
        .. (await _server.ListAsync("SELECT table_name FROM information_schema.tables WHERE table_catalog = 'ANALYTICS'")).Select(name => name!),
        .. await _server.StagedAsync(),
    ];
}
