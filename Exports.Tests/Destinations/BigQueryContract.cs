using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class BigQueryContract : TableContract
{
    private BigQueryServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await BigQueryServer.StartAsync();

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    protected override IDestination Make() => _server.Open();

    protected override async Task<IReadOnlyList<string>> ValuesAsync(string name) => _server.Tables.All.ContainsKey(name)
        ? [.. (await _server.ListAsync($"SELECT value FROM \"test-project\".analytics.\"{name}\" ORDER BY 1")).Select(value => value!)]
        : [];

    // As readers cannot see what is staged, but who lists tables can.
    protected override Task<IReadOnlyList<string>> LeftoversAsync() => Task.FromResult<IReadOnlyList<string>>([.. _server.Tables.All.Keys]);
}
