using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class BigQueryTests
{
    private const string Events = "\"test-project\".analytics.events";

    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");
    private BigQueryServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await BigQueryServer.StartAsync();

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_commit_whose_answer_is_lost_is_noticed_at_once()
    {
        var left = 1;
        _server.Fault = call => IsCommit(call) && left-- > 0 ? new BigQueryFault { Executes = true } : null;
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"], [2, "b"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a", "b" }));
        Assert.That(_server.Calls.Count(IsCommit), Is.EqualTo(2), "the second is the same job");
    }

    // Its job says that it failed, though it did not; the next one is under another name, and is executed.
    [Test]
    public async Task A_commit_that_is_executed_twice_brings_its_rows_once()
    {
        string? transaction = null;
        _server.Fault = call =>
        {
            transaction ??= IsCommit(call) ? call.Text : null;
            return null;
        };
        await using var destination = _server.Open();
        await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        _server.BeforeTransaction = async () =>
        {
            _server.BeforeTransaction = () => Task.CompletedTask;
            await _server.Tables.QueryAsync(transaction!);
        };
        var receipt = await sink.CommitAsync(default);

        Assert.That(receipt.Rows, Is.EqualTo(1));
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task A_commit_that_another_transaction_has_cancelled_is_tried_again()
    {
        var left = 2;
        _server.Fault = call => IsCommit(call) && left-- > 0
            ? new BigQueryFault { Fails = BigQueryFailure.Query("Transaction is aborted due to concurrent update against table test-project:analytics._exporter_commits_events. Transaction ID: 7") }
            : null;
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    // Tables are locked as a whole: of two transactions at once one would be cancelled, so those that wait go together.
    [Test]
    public async Task Slices_that_wait_for_a_commit_go_together_in_the_next()
    {
        var release = new TaskCompletionSource();
        var left = 1;
        await using var destination = _server.Open();
        var sinks = new List<ISliceSink>();
        for (var slice = 0; slice < 6; slice++)
        {
            sinks.Add(await destination.OpenSliceAsync(Slice(1) with { Slice = slice }, Table.Schema, default));
            await WriteAsync(sinks[slice], [slice, $"row of {slice}"]);
        }

        _server.Fault = call => IsCommit(call) && left-- > 0 ? new BigQueryFault { Polls = 0, Waits = release.Task } : null;
        var commits = sinks.Select(sink => sink.CommitAsync(default)).ToList();
        await Engine.Tests.Eventually.TrueAsync(() => Task.FromResult(_server.Tables.All.Keys.Count(name => name.StartsWith("_exporter_stage", StringComparison.Ordinal)) == 6 && _server.Calls.Count(call => call.Kind == "upload.put") == 6), "all are loaded");
        release.SetResult();
        var receipts = await Task.WhenAll(commits);

        Assert.That(_server.Calls.Count(IsCommit), Is.LessThan(6), "fewer transactions than slices");
        Assert.That(receipts.Select(receipt => receipt.Rows), Is.All.EqualTo(1));
        Assert.That(await TextsAsync(), Is.EqualTo(Enumerable.Range(0, 6).Select(slice => $"row of {slice}")));
        foreach (var sink in sinks)
        {
            await sink.DisposeAsync();
        }
    }

    [Test]
    public async Task A_slice_that_was_taken_holds_up_none_that_commits_with_it()
    {
        var release = new TaskCompletionSource();
        var left = 1;
        await using var destination = _server.Open();
        await using var other = _server.Open();
        var sinks = new List<ISliceSink>();
        for (var slice = 0; slice < 4; slice++)
        {
            sinks.Add(await destination.OpenSliceAsync(Slice(1) with { Slice = slice }, Table.Schema, default));
            await WriteAsync(sinks[slice], [slice, $"row of {slice}"]);
        }

        await using var newer = await other.OpenSliceAsync(Slice(2) with { Slice = 2 }, Table.Schema, default);
        _server.Fault = call => IsCommit(call) && left-- > 0 ? new BigQueryFault { Polls = 0, Waits = release.Task } : null;
        var commits = sinks.Select(sink => sink.CommitAsync(default)).ToList();
        await Engine.Tests.Eventually.TrueAsync(() => Task.FromResult(_server.Calls.Count(call => call.Kind == "upload.put") == 4), "all are loaded");
        release.SetResult();

        Assert.That(async () => await commits[2], Throws.TypeOf<BigQueryTakenException>());
        await Task.WhenAll(commits[0], commits[1], commits[3]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "row of 0", "row of 1", "row of 3" }));
        foreach (var sink in sinks)
        {
            await sink.DisposeAsync();
        }
    }

    [Test]
    public async Task A_commit_that_went_through_while_the_slice_was_opened_anew_is_not_doubled()
    {
        await using var old = _server.Open();
        await using var next = _server.Open();
        var before = await old.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(before, [1, "old"]);

        // The newer claim comes when the older commit has looked already.
        ISliceSink? after = null;
        _server.Fault = call => IsCommit(call) ? new BigQueryFault { Executes = true, Status = 0 } : null;
        await before.CommitAsync(default);
        _server.Fault = _ => null;
        await _server.Tables.RunAsync($"UPDATE \"test-project\".analytics._exporter_commits_events SET committed_at = NULL");
        after = await next.OpenSliceAsync(Slice(2), Table.Schema, default);
        await _server.Tables.RunAsync($"UPDATE \"test-project\".analytics._exporter_commits_events SET committed_at = now() WHERE row_count IS NOT NULL");
        await WriteAsync(after, [1, "new"]);
        Assert.That(async () => await after.CommitAsync(default), Throws.Exception, "it sees a commit that it did not know of");
        await after.DisposeAsync();

        await ExportAsync(next, Slice(3), [1, "new"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "new" }));
        await before.DisposeAsync();
    }

    [Test]
    public async Task An_attempt_claims_its_slice_once()
    {
        await using var destination = _server.Open();
        var address = Slice(1) with { StepKey = "run/3" };
        Assert.That(await destination.ResumeSliceAsync(address, default), Is.Null);
        await ExportAsync(destination, address, [1, "a"]);
        Assert.That(_server.Calls.Count(call => call.Name.Contains("_claim", StringComparison.Ordinal) && call.Kind == "job.insert"), Is.EqualTo(1));
        await ExportAsync(destination, address, [1, "b"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "b" }), "opened again it is claimed again");
    }

    [Test]
    public async Task A_worker_that_dies_after_its_commit_is_found_to_have_committed()
    {
        var address = Slice(1) with { StepKey = "run/3" };
        var dead = false;
        _server.Fault = call =>
        {
            dead |= IsCommit(call);
            return IsCommit(call) ? new BigQueryFault { Executes = true, Status = 400, Reason = "x" } : dead ? new BigQueryFault { Status = 400, Reason = "x" } : null;
        };
        await using (var destination = _server.Open())
        {
            await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
            await WriteAsync(sink, [1, "a"], [2, "b"]);
            Assert.That(await Assert.CatchAsync(() => sink.CommitAsync(default)), Is.Not.Null);
        }

        _server.Fault = _ => null;
        await using var next = _server.Open();
        Assert.That((await next.ResumeSliceAsync(address with { Attempt = 2 }, default))?.Receipt.Rows, Is.EqualTo(2));
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a", "b" }));
    }

    [Test]
    public async Task Killed_between_upload_and_commit_nothing_is_there_and_nothing_stays_at_the_end()
    {
        _server.Fault = call => IsCommit(call) ? new BigQueryFault { Status = 400, Reason = "x" } : null;
        await using var killed = _server.Open();
        var sink = await killed.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        Assert.That(async () => await sink.CommitAsync(default), Throws.Exception);
        Assert.That(await TextsAsync(), Is.Empty);
        var stage = Stages().Single();
        var expires = long.Parse(_server.Tables.All[stage]["expirationTime"]!.GetValue<string>(), null);
        Assert.That(DateTimeOffset.FromUnixTimeMilliseconds(expires), Is.EqualTo(TimeProvider.System.GetUtcNow().AddHours(24)).Within(TimeSpan.FromMinutes(1)), "it goes by itself");

        // Never disposed of.
        _server.Fault = _ => null;
        await using var next = _server.Open();
        var receipt = await ExportAsync(next, Slice(2), [1, "a"]);
        await next.FinishAsync(new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, default);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        Assert.That(Stages(), Is.Empty);
        Assert.That(await _server.ListAsync("SELECT claim_id FROM \"test-project\".analytics._exporter_commits_events"), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_large_slice_goes_in_chunks_while_its_rows_come()
    {
        await using var destination = _server.Open();
        await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        var random = new Random(1);
        for (var batch = 0; batch < 20; batch++)
        {
            var from = batch * 2_000;
            await WriteAsync(sink, [.. Enumerable.Range(from, 2_000).Select(row => new object?[] { row, Convert.ToHexString(BitConverter.GetBytes(random.NextInt64())) + random.NextInt64() })]);
        }

        Assert.That(_server.Calls.Count(call => call.Kind == "upload.put"), Is.GreaterThan(0), "before its end");
        Assert.That(sink.BytesSent, Is.GreaterThan(0));
        var receipt = await sink.CommitAsync(default);
        Assert.That(sink.BytesSent, Is.EqualTo(receipt.Bytes));
        Assert.That(await _server.ListAsync($"SELECT count(*) || ' ' || sum(id) FROM {Events}"), Is.EqualTo(new[] { "40000 799980000" }));
    }

    [Test]
    public async Task Rows_that_are_missing_in_the_staging_table_are_noticed_before_anything_is_committed()
    {
        await using var destination = _server.Open();
        await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"], [2, "b"]);
        _server.BeforeTransaction = async () => await _server.Tables.RunAsync($"DELETE FROM \"test-project\".analytics.\"{Stages().Single()}\" WHERE id = 1");
        var error = await Assert.CatchAsync(() => sink.CommitAsync(default));
        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Transient).And.Property("Message").Contains("of 2 rows the staging table has 1"));
        Assert.That(await TextsAsync(), Is.Empty);
    }

    [Test]
    public async Task Without_a_provenance_column_an_interval_that_is_there_is_refused_and_nothing_is_written()
    {
        await using (var first = _server.Open(("provenance_column", "")))
        {
            await ExportAsync(first, Slice(1), [1, "a"]);
        }

        await using var again = _server.Open(("provenance_column", ""));
        Assert.That(() => ExportAsync(again, Slice(2), [2, "b"]), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("provenance_column"));
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task Brotli_which_load_jobs_do_not_read_is_not_used()
    {
        await using var destination = DestinationKinds.Open(_server.Configured(), new FormatOptions { Compression = Compression.Brotli });
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    private static bool IsCommit(BigQueryCall call) => call.Kind == "job.insert" && call.Text.Contains("SET `committed_at` = ", StringComparison.Ordinal);

    private static SliceAddress Slice(long token) => new("events", Day, 0, 1, token);

    private static async Task<SliceReceipt> ExportAsync(IDestination destination, SliceAddress address, params object?[][] rows)
    {
        await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
        await WriteAsync(sink, rows);
        return await sink.CommitAsync(default);
    }

    private static async Task WriteAsync(ISliceSink sink, params object?[][] rows)
    {
        using var batch = Table.Batch(rows);
        await sink.WriteAsync(batch, default);
    }

    private Task<List<string?>> TextsAsync() => _server.ListAsync($"SELECT text FROM {Events} ORDER BY id");

    private IEnumerable<string> Stages() => _server.Tables.All.Keys.Where(name => name.StartsWith("_exporter_stage", StringComparison.Ordinal));
}
