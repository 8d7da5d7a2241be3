using Exporter.Exports.Destinations;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

[TestFixture("copy")]
[TestFixture("insert")]
public sealed class RedshiftContract(string load) : TableContract
{
    private RedshiftServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    protected override IDestination Make() => _server.Open(("load", load));

    protected override async Task<IReadOnlyList<string>> ValuesAsync(string name) =>
        (await _server.ListAsync<string?>($"select to_regclass('public.{name}')::text"))[0] is null
            ? []
            : await _server.ListAsync<string>($"select value from public.{name} order by value collate \"C\"");

    protected override async Task<IReadOnlyList<string>> LeftoversAsync() =>
        [.. await _server.ListAsync<string>("select relname::text from pg_class where relnamespace = 'public'::regnamespace"), .. await _server.StagedAsync()];
}
