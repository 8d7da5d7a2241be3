using Exporter.Engine.Tests;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class RedshiftTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");
    private RedshiftServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_transaction_is_one_request_from_its_lock_to_its_commit()
    {
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"]);
        var statements = _server.Calls.Select(call => call.Text).ToList();
        var begins = statements.Select((text, at) => (text, at)).Where(pair => pair.text == "BEGIN").ToList();
        Assert.That(begins, Has.Count.EqualTo(2), "the claim and the commit");
        Assert.That(begins.Select(pair => statements[pair.at + 1]), Is.All.StartsWith("LOCK TABLE"), "nothing is read before the lock");
        var commit = statements[begins[^1].at..];
        Assert.That(commit.FindIndex(text => text.StartsWith("COPY", StringComparison.Ordinal)), Is.GreaterThan(0).And.LessThan(commit.IndexOf("COMMIT")), "COPY and the commit are in one transaction");
    }

    [TestCase("copy")]
    [TestCase("insert")]
    public async Task A_commit_whose_answer_is_lost_is_noticed_at_once(string load)
    {
        _server.Fault = Once(IsCommit, new RedshiftFault { Cut = RedshiftCut.Client }, skip: 1);
        await using var destination = _server.Open(("load", load));
        await ExportAsync(destination, Slice(1), [1, "a"], [2, "b"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a", "b" }));
        Assert.That(_server.Calls.Count(call => call.Text.StartsWith("UPDATE \"public\".\"_exporter_commits\" SET commit_id", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task A_worker_that_dies_after_its_commit_is_found_to_have_committed()
    {
        var address = Slice(1) with { StepKey = "run/3" };
        _server.Fault = call => IsCommit(call) && _server.Calls.Any(before => before.Text.StartsWith("COPY", StringComparison.Ordinal))
            ? new RedshiftFault { Cut = RedshiftCut.Client }
            : call.Text.StartsWith("SELECT claim_id", StringComparison.Ordinal) && _server.Calls.Any(before => before.Text.StartsWith("COPY", StringComparison.Ordinal)) ? new RedshiftFault { Cut = RedshiftCut.Both } : null;
        await using (var destination = _server.Open())
        {
            Assert.That(await Assert.CatchAsync(() => ExportAsync(destination, address, [1, "a"], [2, "b"])), Is.Not.Null);
        }

        _server.Fault = _ => null;
        await using var next = _server.Open();
        Assert.That((await next.ResumeSliceAsync(address with { Attempt = 2 }, default))?.Receipt.Rows, Is.EqualTo(2));
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a", "b" }));
    }

    [Test]
    public async Task Killed_between_upload_and_commit_nothing_is_there_and_nothing_stays_at_the_end()
    {
        _server.Fault = call => call.Text.StartsWith("COPY", StringComparison.Ordinal) ? new RedshiftFault { Cut = RedshiftCut.Both } : null;
        await using var killed = _server.Open();
        var sink = await killed.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        var error = await Assert.CatchAsync(() => sink.CommitAsync(default));
        Assert.That(killed.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(await TextsAsync(), Is.Empty);
        Assert.That(await _server.StagedAsync(), Has.Count.EqualTo(2), "its file is there, and its manifest");

        // Never disposed of.
        _server.Fault = _ => null;
        await using var next = _server.Open();
        var receipt = await ExportAsync(next, Slice(2), [1, "a"]);
        await next.FinishAsync(new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, default);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        Assert.That(await _server.StagedAsync(), Is.Empty);
    }

    [Test]
    public async Task A_connection_that_is_cut_in_COPY_while_the_server_goes_on_leaves_the_rows_there_once()
    {
        _server.Fault = Once(call => call.Text.StartsWith("COPY", StringComparison.Ordinal), new RedshiftFault { Cut = RedshiftCut.Client });
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    // A frozen worker has sent all of its transaction: nothing of it waits for the worker, so nobody waits for it.
    [Test]
    public async Task A_transaction_under_way_when_another_attempt_opens_the_slice_is_found_committed()
    {
        var (held, release) = (new TaskCompletionSource(), new TaskCompletionSource());
        _server.Fault = Once(call => call.Text.StartsWith("COPY", StringComparison.Ordinal), new RedshiftFault { Waits = HoldAsync() }, held);
        await using var zombie = _server.Open();
        var address = Slice(1) with { StepKey = "run/3" };
        var frozen = ExportAsync(zombie, address, [1, "a"]);
        await held.Task.WaitAsync(TimeSpan.FromSeconds(20));
        await using var next = _server.Open();
        var resumed = next.ResumeSliceAsync(address with { FencingToken = 2 }, default);
        await Eventually.TrueAsync(async () => await WaitingAsync() > 0, "the next attempt waits for the lock");
        release.SetResult();

        Assert.That((await resumed)?.Receipt.Rows, Is.EqualTo(1));
        Assert.That((await frozen).Rows, Is.EqualTo(1));
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));

        async Task HoldAsync() => await release.Task;
    }

    [TestCase("1023")]
    [TestCase("cancelled")]
    public async Task A_transaction_that_Redshift_gave_up_is_tried_again(string what)
    {
        _server.Fault = Once(IsCommit, what == "1023" ? RedshiftFault.NotSerializable : RedshiftFault.Cancelled, skip: 1);
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, "a"]));
        Assert.That(destination.Classify(error!)!.Kind, Is.EqualTo(ErrorKind.Transient));
        Assert.That(await TextsAsync(), Is.Empty);
        await ExportAsync(destination, Slice(2), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task Rows_that_COPY_did_not_load_are_noticed_before_anything_is_committed()
    {
        _server.Copy.LosesRows = true;
        await using var copying = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(copying, Slice(2), [1, "a"], [2, "b"]));
        Assert.That(copying.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Transient).And.Property("Message").Contains("Of 2 rows"));
        Assert.That(await TextsAsync(), Is.Empty);
    }

    [TestCase("role")]
    [TestCase("default")]
    [TestCase("chain")]
    [TestCase("keys")]
    public async Task Redshift_reads_the_bucket_as_a_role_or_with_keys(string way)
    {
        _server.Copy.Roles.Add(_server.Copy.Roles[0] + ",arn:aws:iam::210987654321:role/other");
        (string, object?)[] settings = way switch { "role" => [], "default" => [("iam_role", "default")], "chain" => [("iam_role", _server.Copy.Roles[1])], _ => [("iam_role", null)] };
        await using var destination = _server.Open(settings);
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        var copy = _server.Calls.Single(call => call.Text.StartsWith("COPY", StringComparison.Ordinal)).Text;
        Assert.That(copy, Does.Contain(way switch { "role" => "IAM_ROLE 'arn:aws:iam::123456789012:role/exports' MANIFEST", "default" => "IAM_ROLE default", "chain" => "role/exports,arn:", _ => "ACCESS_KEY_ID '" }));
    }

    [TestCase("copy")]
    [TestCase("insert")]
    public async Task Columns_that_the_export_gains_are_added_and_none_is_dropped(string load)
    {
        await using (var first = _server.Open(("load", load)))
        {
            await ExportAsync(first, Slice(1), [1, "a"]);
        }

        await using var second = _server.Open(("load", load));
        var wider = new TestTable("id", "At:instant");
        await using var sink = await second.OpenSliceAsync(Slice(1) with { Slice = 1 }, wider.Schema, default);
        using var batch = wider.Batch([2L, Day.Start]);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);

        Assert.That(
            await _server.ListAsync<string>("select concat_ws('|', id, coalesce(text, '-'), coalesce(to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), '-')) from events order by id"),
            Is.EqualTo(new[] { "1|a|-", "2|-|2026-01-01 00:00" }));
    }

    [TestCase("\"id\" VARCHAR(20), \"text\" VARCHAR(65535)", "\"id\"", "VARCHAR(20)", "BIGINT")]
    [TestCase("\"id\" INTEGER, \"text\" VARCHAR(65535)", "\"id\"", "INTEGER", "BIGINT")]
    [TestCase("\"id\" BIGINT, \"text\" BIGINT", "\"text\"", "BIGINT", "VARCHAR(65535)")]
    public async Task A_type_that_does_not_take_every_value_is_reported_before_anything_is_written(string columns, string column, string there, string needed)
    {
        await _server.SayAsync($"CREATE TABLE \"events\" ({columns})");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync<UserErrorException>(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default));
        Assert.That(error!.Setting, Is.EqualTo("table"));
        Assert.That(error.Message, Does.Contain(column).And.Contain(there).And.Contain(needed).And.Contain("Nothing was written"));
        Assert.That(await _server.StagedAsync(), Is.Empty);
    }

    // COPY converts nothing, so rows go through a table of the export's types.
    [Test]
    public async Task A_wider_column_takes_the_exports_values()
    {
        await _server.SayAsync("CREATE TABLE \"events\" (\"id\" DECIMAL(30,2), \"text\" SUPER)");
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [7, "{\"a\": [1]}"]);
        Assert.That(await _server.ListAsync<string>("select id || ' ' || (text -> 'a')::text from events"), Is.EqualTo(new[] { "7.00 [1]" }));
    }

    [Test]
    public async Task A_column_that_is_not_null_and_not_filled_is_reported()
    {
        await _server.SayAsync("CREATE TABLE \"events\" (\"id\" BIGINT, \"text\" VARCHAR(65535), \"more\" VARCHAR(10) NOT NULL)");
        await using var destination = _server.Open();
        Assert.That(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("\"more\" of public.events is NOT NULL"));
    }

    [Test]
    public async Task A_view_takes_no_rows()
    {
        await _server.ExecuteAsync("create view events as select 1 as id");
        await using var destination = _server.Open();
        Assert.That(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("public.events is no table: view"));
    }

    [Test]
    public async Task Names_have_no_capitals()
    {
        await using var destination = _server.Open(("table", "My Events"));
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await _server.ListAsync<string>("select text from \"my events\""), Is.EqualTo(new[] { "a" }));
        Assert.That(() => destination.OpenSliceAsync(Slice(1), new TestTable("id", "ID").Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("knows no capitals"));
        Assert.That(() => destination.OpenSliceAsync(Slice(1), new TestTable("ctid").Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("\"ctid\""));
    }

    [TestCase("copy")]
    [TestCase("insert")]
    public async Task Names_and_texts_are_only_names_and_texts(string load)
    {
        var export = "o'brien\\\";drop table x;--";
        string?[] texts = ["", "NULL", "\\N", "null", " ", "\\", "'", "\"", "\t\r\n", "a\\'b", "naïve 東京 🙂", null];
        await using var destination = _server.Open(("table", "events"), ("load", load), ("stage_prefix", "staged/o'b"));
        await ExportAsync(destination, new SliceAddress(export, Day, 0, 1, 1), [.. texts.Select((text, at) => new object?[] { at, text })]);
        Assert.That(await TextsAsync(), Is.EqualTo(texts));
        Assert.That(await _server.ListAsync<string>("select export from _exporter_commits"), Is.EqualTo(new[] { export }));
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
    public async Task Many_rows_are_inserted_in_statements_that_Redshift_takes()
    {
        await using var destination = _server.Open(("load", "insert"));
        await ExportAsync(destination, Slice(1), [.. Enumerable.Range(0, 20_000).Select(row => new object?[] { row, "x" })]);
        await ExportAsync(destination, Slice(1) with { Slice = 1 }, [.. Enumerable.Range(0, 200).Select(row => new object?[] { row, new string('y', 60_000) })]);
        Assert.That(await _server.ListAsync<long>("select count(*) from events"), Is.EqualTo(new[] { 20_200L }));
        Assert.That(_server.Calls.Count(call => call.Text.StartsWith("INSERT INTO \"_exporter_stage", StringComparison.Ordinal)), Is.EqualTo(2 + 3));
    }

    private static Func<RedshiftCall, RedshiftFault?> Once(Func<RedshiftCall, bool> when, RedshiftFault fault, TaskCompletionSource? sprung = null, int skip = 0)
    {
        var left = skip + 1;
        return call =>
        {
            if (!when(call) || Interlocked.Decrement(ref left) != 0)
            {
                return null;
            }

            sprung?.SetResult();
            return fault;
        };
    }

    private static bool IsCommit(RedshiftCall call) => call.Text == "COMMIT";

    private async Task<long> WaitingAsync() => (await _server.ListAsync<long>("select count(*) from pg_locks where not granted"))[0];

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

    private Task<List<string?>> TextsAsync() => _server.ListAsync<string?>("select text from events order by id");
}
