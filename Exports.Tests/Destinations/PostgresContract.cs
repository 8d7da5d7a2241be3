using Exporter.Exports.Destinations;

namespace Exporter.Exports.Tests.Destinations;

public sealed class PostgresContract : TableContract
{
    private PostgresServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await PostgresServer.NewAsync();

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    protected override IDestination Make() => _server.Open();

    protected override async Task<IReadOnlyList<string>> ValuesAsync(string name) =>
        await _server.ScalarAsync<string?>($"select to_regclass('public.{name}')::text") is null
            ? []
            : await _server.ListAsync<string>($"select value from public.{name} order by value collate \"C\"");

    protected override async Task<IReadOnlyList<string>> LeftoversAsync() =>
        await _server.ListAsync<string>("select relname::text from pg_class where relnamespace = 'public'::regnamespace");
}
