using Exporter.Engine.Tests;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Whatever becomes of an attempt, its session in the database holds nobody up for long.</summary>
public sealed class PostgresSessionTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");
    private PostgresServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await PostgresServer.NewAsync();

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_zombie_in_mid_copy_holds_nobody_up_once_another_attempt_has_opened_its_slice()
    {
        await using var destination = _server.Open();
        await using var frozen = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(frozen, [1, "frozen"]);
        Assert.That(await WorkingAsync(), Is.EqualTo(1), "its COPY is under way");

        await using var next = _server.Open();
        await ExportAsync(next, Slice(2), [1, "next"]);
        await AlterAsync();
        var error = await Assert.CatchAsync(() => frozen.CommitAsync(default));

        Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(await _server.ListAsync<string>("select text from events"), Is.EqualTo(new[] { "next" }));
    }

    [Test]
    public async Task The_sessions_of_other_slices_are_left_alone()
    {
        await using var destination = _server.Open();
        await using var other = await destination.OpenSliceAsync(Slice(1) with { Slice = 1 }, Table.Schema, default);
        await WriteAsync(other, [1, "other"]);
        await ExportAsync(destination, Slice(2), [2, "one"]);
        await other.CommitAsync(default);

        Assert.That(await _server.ListAsync<string>("select text from events order by id"), Is.EqualTo(new[] { "other", "one" }));
    }

    [Test]
    public async Task An_attempt_that_is_given_up_while_the_server_takes_its_rows_leaves_no_open_transaction()
    {
        await _server.ExecuteAsync(
            """
            create table events (id bigint, text text, _exporter_commit bigint);
            create function waits() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(42); return null; end $$;
            create trigger waits after insert on events for each statement execute function waits()
            """);
        await using var holder = await _server.Data.OpenConnectionAsync();
        await using var hold = holder.CreateCommand();
        hold.CommandText = "select pg_advisory_lock(42)";
        await hold.ExecuteNonQueryAsync();
        await using var destination = _server.Open();
        using var lost = new CancellationTokenSource();
        await using (var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default))
        {
            await WriteAsync(sink, [1, "a"]);
            var commit = sink.CommitAsync(lost.Token);
            await Eventually.TrueAsync(
                async () => await _server.ScalarAsync<long>("select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'") == 1,
                "the server has all rows and waits");
            await lost.CancelAsync();
            Assert.That(async () => await commit, Throws.InstanceOf<OperationCanceledException>());
        }

        await Eventually.TrueAsync(async () => await WorkingAsync() == 0, "its transaction is over");
        await AlterAsync();
    }

    private static SliceAddress Slice(long token) => new("events", Day, 0, 1, token) { StepKey = "run/3" };

    private static async Task ExportAsync(IDestination destination, SliceAddress address, params object?[][] rows)
    {
        await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
        await WriteAsync(sink, rows);
        await sink.CommitAsync(default);
    }

    private static async Task WriteAsync(ISliceSink sink, params object?[][] rows)
    {
        using var batch = Table.Batch(rows);
        await sink.WriteAsync(batch, default);
    }

    private Task<long> WorkingAsync() => _server.ScalarAsync<long>(
        "select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()");

    // What an export does that has gained a column, and any operator may do.
    private Task AlterAsync() => _server.ExecuteAsync("set lock_timeout = '10s'; alter table events add column later integer; reset lock_timeout");
}
