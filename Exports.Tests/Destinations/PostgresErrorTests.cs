using Exporter.Engine.Testing;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Npgsql;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Errors of a server, sorted by who has to act, and what an attempt that met one has cost.</summary>
public sealed class PostgresErrorTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");

    // The table of docs/destinations/postgres.md, and codes of every class that it names.
    [TestCase("08006", ErrorKind.Transient, null)]
    [TestCase("40001", ErrorKind.Transient, null)]
    [TestCase("40P01", ErrorKind.Transient, null)]
    [TestCase("57P01", ErrorKind.Transient, null)]
    [TestCase("57P03", ErrorKind.Transient, null)]
    [TestCase("57P05", ErrorKind.Transient, null)]
    [TestCase("57014", ErrorKind.Transient, null)]
    [TestCase("55P03", ErrorKind.Transient, null)]
    [TestCase("25P03", ErrorKind.Transient, null)]
    [TestCase("53200", ErrorKind.Transient, null)]
    [TestCase("58030", ErrorKind.Transient, null)]
    [TestCase("F0001", ErrorKind.Transient, null)]
    [TestCase("XX000", ErrorKind.Transient, null)]
    [TestCase("42P01", ErrorKind.Transient, null)]
    [TestCase("42703", ErrorKind.Transient, null)]
    [TestCase("53300", ErrorKind.Throttled, null)]
    [TestCase("28P01", ErrorKind.User, "password")]
    [TestCase("28000", ErrorKind.User, "username")]
    [TestCase("42501", ErrorKind.User, "username")]
    [TestCase("3D000", ErrorKind.User, "database")]
    [TestCase("57P04", ErrorKind.User, "database")]
    [TestCase("3F000", ErrorKind.User, "schema")]
    [TestCase("25006", ErrorKind.User, "host")]
    [TestCase("53100", ErrorKind.User, "host")]
    [TestCase("XX001", ErrorKind.User, "host")]
    [TestCase("XX002", ErrorKind.User, "host")]
    [TestCase("23505", ErrorKind.User, "table")]
    [TestCase("23514", ErrorKind.User, "table")]
    [TestCase("54000", ErrorKind.User, "table")]
    [TestCase("P0001", ErrorKind.User, "table")]
    [TestCase("22001", ErrorKind.User, "columns")]
    [TestCase("42601", ErrorKind.Bug, null)]
    [TestCase("0A000", ErrorKind.Bug, null)]
    public async Task A_code_is_sorted_as_the_documentation_says(string code, ErrorKind kind, string? setting)
    {
        await using var server = await PostgresServer.NewAsync();
        await using var destination = server.Open();
        var sorted = destination.Classify(new PostgresException("what the server says", "ERROR", "ERROR", code))!;

        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((kind, setting)));
        Assert.That(sorted.Advice, kind == ErrorKind.User ? Is.Not.Empty : Is.Null);
    }

    // The table's file is replaced by one that never takes a byte; on a server of its own, as such a server may give up altogether.
    [Test]
    [Platform("Linux")]
    public async Task A_full_disk_is_said_in_a_sentence_and_the_export_goes_on_once_there_is_room()
    {
        await using var own = await LocalPostgres.StartAsync();
        await using var server = PostgresServer.Of(await own.CreateDatabaseAsync("full"));
        await server.ExecuteAsync("create table events (id bigint, text text, _exporter_commit bigint)");
        var file = await server.ScalarAsync<string>("select current_setting('data_directory') || '/' || pg_relation_filepath('events')");
        NpgsqlConnection.ClearAllPools();
        File.Move(file!, file + ".kept");
        File.CreateSymbolicLink(file!, "/dev/full");
        await using (var destination = server.Open())
        {
            var error = await Assert.CatchAsync(() => ExportAsync(destination, token: 1));
            var sorted = destination.Classify(error!)!;
            Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, "host")));
            Assert.That(sorted.Message, Does.StartWith("The disk of ").And.EndsWith(" is full."));
        }

        File.Delete(file!);
        File.Move(file + ".kept", file!);
        await using var again = server.Open();
        await ExportAsync(again, token: 2);
        Assert.That(await server.ScalarAsync<long>("select count(*) from events"), Is.EqualTo(2_000));
    }

    [Test]
    public async Task What_was_sent_is_counted_also_of_an_attempt_that_failed()
    {
        await using var server = await PostgresServer.NewAsync();
        await using var destination = server.Open();
        var lost = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(lost);
        var sent = lost.BytesSent;
        await lost.DisposeAsync();
        var sink = await destination.OpenSliceAsync(Slice(2), Table.Schema, default);
        await WriteAsync(sink);
        var receipt = await sink.CommitAsync(default);
        await sink.DisposeAsync();

        Assert.That(lost.BytesSent, Is.EqualTo(sent));
        Assert.That(sent, Is.EqualTo(receipt.Bytes - 2), "all but what ends the data");
        Assert.That(sink.BytesSent, Is.EqualTo(receipt.Bytes));
    }

    private static SliceAddress Slice(long token) => new("events", Day, 0, 1, token);

    private static async Task ExportAsync(IDestination destination, long token)
    {
        await using var sink = await destination.OpenSliceAsync(Slice(token), Table.Schema, default);
        await WriteAsync(sink);
        await sink.CommitAsync(default);
    }

    private static async Task WriteAsync(ISliceSink sink)
    {
        using var batch = Table.Batch([.. Enumerable.Range(0, 2_000).Select(row => new object?[] { row, new string('x', 200) })]);
        await sink.WriteAsync(batch, default);
    }
}
