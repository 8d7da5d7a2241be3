using Exporter.Exports.Destinations;

namespace Exporter.Exports.Tests.Destinations;

public sealed class PostgresMergeTests : MergeContract
{
    private PostgresServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await PostgresServer.NewAsync();

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task Rows_that_are_the_same_are_not_written_again()
    {
        await ExportAsync(Merge(), [1, 1, "old", 0], [2, 1, "same", 0]);
        var before = await WriterOfTheSameAsync();
        await ExportAsync(Merge(), [1, 1, "new", 0], [2, 1, "same", 0]);

        Assert.That(await WriterOfTheSameAsync(), Is.EqualTo(before));

        Task<string?> WriterOfTheSameAsync() => _server.ScalarAsync<string>("select xmin::text from events where id = 2");
    }

    [Test]
    public async Task A_partitioned_table_takes_rows_by_merge()
    {
        await _server.ExecuteAsync(
            """
            create table events (id bigint, version bigint, text text, gone smallint, primary key (id)) partition by range (id);
            create table low partition of events for values from (0) to (10);
            create table high partition of events for values from (10) to (20)
            """);
        await ExportAsync(Merge(), [1, 1, "low", 0], [11, 1, "high", 0]);
        await ExportAsync(Merge(), [11, 2, "high, second", 0]);
        Assert.That(await _server.ListAsync<string>("select text from low"), Is.EqualTo(new[] { "low" }));
        Assert.That(await _server.ListAsync<string>("select text from high"), Is.EqualTo(new[] { "high, second" }));

        var error = await Assert.CatchAsync(() => ExportAsync(Merge(), [99, 1, "nowhere", 0]));
        await using var destination = Merge();
        Assert.That(destination.Classify(error!), Has.Property("Setting").EqualTo("table").And.Property("Advice").Contains("partition"));
    }

    [Test]
    public async Task A_table_without_a_unique_index_on_the_key_is_refused_before_anything_is_written()
    {
        await _server.ExecuteAsync("create table events (id bigint, version bigint, text text, gone smallint); create unique index on events (id, version); create unique index on events (id) where gone = 0");
        Assert.That(
            () => ExportAsync(Merge(), [1, 1, "one", 0]),
            Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("key").And.Message.Contains("create unique index"));
    }

    protected override IDestination Open(params (string Name, object? Value)[] settings) => _server.Open(settings);

    protected override async Task<IReadOnlyList<string?>> TextsAsync() => await _server.ListAsync<string?>("select text from events order by id");

    protected override async Task<long> CommitsAsync() => await _server.ScalarAsync<long>("select count(*) from _exporter_commits");
}
