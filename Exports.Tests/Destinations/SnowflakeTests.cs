using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

public sealed class SnowflakeTests
{
    private const string Events = "\"ANALYTICS\".\"PUBLIC\".\"EVENTS\"";

    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");
    private SnowflakeServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await SnowflakeServer.StartAsync(await TestServers.S3Async());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [Test]
    public async Task A_commit_whose_answer_is_lost_is_noticed_at_once()
    {
        _server.Fault = call => IsTransaction(call) && !call.IsRetry ? new SnowflakeFault { Executes = true } : null;
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"], [2, "b"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a", "b" }));
    }

    // Resubmission is a help and no promise: here nobody knows the request's id any more, and the repeat is executed.
    [Test]
    public async Task A_commit_that_is_executed_twice_brings_its_rows_once()
    {
        var first = true;
        string? transaction = null;
        _server.Fault = call =>
        {
            if (IsTransaction(call))
            {
                transaction = call.Text;
                (var lost, first) = (first, false);
                return lost ? new SnowflakeFault { Executes = true } : null;
            }

            return null;
        };
        await using var destination = _server.Open();
        await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        _server.ForgetsRequests = true;
        var receipt = await sink.CommitAsync(default);

        Assert.That(receipt.Rows, Is.EqualTo(1));
        Assert.That(transaction, Is.Not.Null);
        Assert.That(_server.Calls.Count(IsTransaction), Is.EqualTo(2), "it was executed a second time");
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task An_attempt_claims_its_slice_once()
    {
        await using var destination = _server.Open();
        var address = Slice(1) with { StepKey = "run/3" };
        Assert.That(await destination.ResumeSliceAsync(address, default), Is.Null);
        await ExportAsync(destination, address, [1, "a"]);
        Assert.That(_server.Calls.Count(call => call.Text.Contains("SET \"CLAIM_ID\" = ", StringComparison.Ordinal)), Is.EqualTo(1));
        await ExportAsync(destination, address, [1, "b"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "b" }), "opened again it is claimed again");
    }

    [Test]
    public async Task A_worker_that_dies_after_its_commit_is_found_to_have_committed()
    {
        var address = Slice(1) with { StepKey = "run/3" };
        _server.Fault = call => IsTransaction(call) ? new SnowflakeFault { Executes = true } : call.Text.StartsWith("SELECT \"COMMIT_ID\"", StringComparison.Ordinal) ? new SnowflakeFault { Status = 400 } : null;
        await using (var destination = _server.Open())
        {
            await using var sink = await destination.OpenSliceAsync(address, Table.Schema, default);
            await WriteAsync(sink, [1, "a"], [2, "b"]);
            _server.ForgetsRequests = true;
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
        _server.Fault = call => IsTransaction(call) ? new SnowflakeFault { Status = 400 } : null;
        await using var killed = _server.Open();
        var sink = await killed.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"]);
        Assert.That(async () => await sink.CommitAsync(default), Throws.Exception);
        Assert.That(await TextsAsync(), Is.Empty);
        Assert.That(await _server.StagedAsync(), Has.Count.EqualTo(1), "its file is there");
        Assert.That(await StagesAsync(), Has.Count.EqualTo(1), "and its staging table");

        // Never disposed of.
        _server.Fault = _ => null;
        await using var next = _server.Open();
        var receipt = await ExportAsync(next, Slice(2), [1, "a"]);
        await next.FinishAsync(new RunManifest { Export = "events", Interval = Day, RunId = Guid.NewGuid(), Slices = [receipt] }, default);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        Assert.That(await _server.StagedAsync(), Is.Empty);
        Assert.That(await StagesAsync(), Is.Empty);
    }

    [Test]
    public async Task A_copy_whose_answer_is_lost_is_repeated_and_loads_nothing_twice()
    {
        _server.Fault = call => call.Text.StartsWith("COPY", StringComparison.Ordinal) && !call.IsRetry ? new SnowflakeFault { Executes = true } : null;
        _server.ForgetsRequests = true;
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(_server.Tables.Copies, Is.EqualTo((1, 1)));
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public async Task Rows_that_are_missing_in_the_staging_table_are_noticed_before_anything_is_committed()
    {
        _server.Fault = call => call.Text.StartsWith("COPY", StringComparison.Ordinal) ? new SnowflakeFault { Polls = 1 } : null;
        await using var destination = _server.Open();
        await using var sink = await destination.OpenSliceAsync(Slice(1), Table.Schema, default);
        await WriteAsync(sink, [1, "a"], [2, "b"]);
        _server.BeforeTransaction = async () => await _server.Tables.RunAsync(
            $"DELETE FROM \"ANALYTICS\".\"PUBLIC\".\"{(await _server.Tables.SelectAsync("SELECT table_name FROM information_schema.tables WHERE table_name LIKE '\\_EXPORTER\\_STAGE%' ESCAPE '\\'")).Rows[0][0]}\" WHERE \"ID\" = 1");
        var error = await Assert.CatchAsync(() => sink.CommitAsync(default));
        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Transient).And.Property("Message").Contains("of 2 rows the staging table has 1"));
        Assert.That(await TextsAsync(), Is.Empty);
    }

    [TestCase("stage", null)]
    [TestCase("storage_integration", "s3_reader")]
    [TestCase("keys", null)]
    public async Task Snowflake_reads_the_bucket_through_a_stage_an_integration_or_keys_in_the_statement(string way, string? value)
    {
        (string, object?)[] settings = way switch { "stage" => [], "keys" => [("stage", null)], _ => [("stage", null), (way, value)] };
        await using var destination = _server.Open(settings);
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        var copy = _server.Calls.Single(call => call.Text.StartsWith("COPY", StringComparison.Ordinal)).Text;
        Assert.That(copy, Does.Contain(way switch { "stage" => "FROM '@\"ANALYTICS\".\"PUBLIC\".\"EXPORTS\"/a/events/", "keys" => "CREDENTIALS = (AWS_KEY_ID = ", _ => "STORAGE_INTEGRATION = \"S3_READER\"" }));
    }

    [Test]
    public async Task Columns_that_the_export_gains_are_added_and_none_is_dropped()
    {
        await using (var first = _server.Open())
        {
            await ExportAsync(first, Slice(1), [1, "a"]);
        }

        await using var second = _server.Open();
        var wider = new TestTable("id", "at:instant");
        await using var sink = await second.OpenSliceAsync(Slice(1) with { Slice = 1 }, wider.Schema, default);
        using var batch = wider.Batch([2L, Day.Start]);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);

        Assert.That(
            await _server.ListAsync($"SELECT concat_ws('|', \"ID\", coalesce(\"TEXT\", '-'), coalesce(CAST(\"AT\" AS VARCHAR), '-')) FROM {Events} ORDER BY \"ID\""),
            Is.EqualTo(new[] { "1|a|-", "2|-|2026-01-01 00:00:00+00" }));
    }

    [TestCase("\"ID\" VARCHAR, \"TEXT\" VARCHAR", "\"ID\"", "VARCHAR", "NUMBER(38,0)")]
    [TestCase("\"ID\" NUMBER(18,0), \"TEXT\" VARCHAR", "\"ID\"", "NUMBER(18,0)", "NUMBER(38,0)")]
    [TestCase("\"ID\" NUMBER(38,0), \"TEXT\" NUMBER(38,0)", "\"TEXT\"", "NUMBER(38,0)", "VARCHAR")]
    public async Task A_type_that_does_not_take_every_value_is_reported_before_anything_is_written(string columns, string column, string there, string needed)
    {
        await _server.ExecuteAsync($"CREATE TABLE {Events} ({columns})");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync<UserErrorException>(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default));
        Assert.That(error!.Setting, Is.EqualTo("table"));
        Assert.That(error.Message, Does.Contain(column).And.Contain(there).And.Contain(needed).And.Contain("Nothing was written"));
        Assert.That(await _server.StagedAsync(), Is.Empty);
    }

    [Test]
    public async Task A_column_that_is_not_null_and_not_filled_is_reported()
    {
        await _server.ExecuteAsync($"CREATE TABLE {Events} (\"ID\" NUMBER(38,0), \"TEXT\" VARCHAR, \"MORE\" VARCHAR NOT NULL)");
        await using var destination = _server.Open();
        Assert.That(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("\"MORE\" of ANALYTICS.PUBLIC.EVENTS is NOT NULL"));
    }

    [Test]
    public async Task Names_are_in_capitals_unless_they_are_to_be_kept()
    {
        await using (var kept = _server.Open(("column_names", "keep"), ("table", "\"Kept.Events\"")))
        {
            await ExportAsync(kept, Slice(1), [1, "a"]);
        }

        Assert.That(await _server.ListAsync("SELECT \"text\" FROM \"ANALYTICS\".\"PUBLIC\".\"Kept.Events\""), Is.EqualTo(new[] { "a" }));
        await using var destination = _server.Open();
        var twice = new TestTable("id", "ID");
        Assert.That(() => destination.OpenSliceAsync(Slice(1), twice.Schema, default), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("column_names"));
    }

    [Test]
    public async Task A_name_with_quotes_backslashes_and_semicolons_is_only_a_name()
    {
        var export = "o'brien\\\";drop table x;--";
        await using var destination = _server.Open(("table", "events"));
        await ExportAsync(destination, new SliceAddress(export, Day, 0, 1, 1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        Assert.That(await _server.ListAsync("SELECT \"EXPORT\" FROM \"ANALYTICS\".\"PUBLIC\".\"_EXPORTER_COMMITS\""), Is.EqualTo(new[] { export }));
    }

    // COPY makes NULL of the third unless it is told otherwise.
    [Test]
    public async Task Texts_that_look_like_something_else_stay_what_they_are()
    {
        string?[] texts = ["", "NULL", "\\N", "null", "a\0b", " ", "\\"];
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [.. texts.Select((text, at) => new object?[] { at, text })]);
        Assert.That(await TextsAsync(), Is.EqualTo(texts));
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

    [TestCase("database", "missing", "database", "There is no database MISSING")]
    [TestCase("schema", "missing", "schema", "There is no schema ANALYTICS.MISSING")]
    [TestCase("warehouse", "missing", "warehouse", "There is no warehouse MISSING")]
    [TestCase("role", "missing", "role", "There is no role MISSING")]
    [TestCase("stage", "missing", "stage", "There is no stage missing")]
    [TestCase("stage_prefix", "elsewhere", "stage", "The stage exports is at")]
    [TestCase("stage_bucket", "no-such-bucket", "stage_bucket", "There is no bucket no-such-bucket")]
    [TestCase("stage_secret_key", "wrong", "stage_secret_key", "does not belong to the access key")]
    [TestCase("copy_secret_key", "wrong", "stage_access_key", "Snowflake may not read the bucket")]
    [TestCase("storage_integration", "missing", "storage_integration", "There is no storage integration missing")]
    [TestCase("private_key", "wrong", "private_key", "does not know exporter by this key")]
    [TestCase("host", "http://127.0.0.1:1", null, "cannot be reached")]
    public async Task A_check_says_in_one_sentence_what_is_wrong(string setting, string value, string? named, string sentence)
    {
        using var other = System.Security.Cryptography.RSA.Create(2048);
        var given = setting == "private_key" ? other.ExportPkcs8PrivateKeyPem() : value;
        await using var destination = setting is "storage_integration" or "copy_secret_key" ? _server.Open(("stage", null), (setting, given)) : _server.Open((setting, given));
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];
        Assert.That(last.Ok, Is.False);
        Assert.That(last.Detail, Does.Contain(sentence));
        Assert.That(last.Detail, named is null ? Is.Not.Empty : Does.Contain($"Setting: {named}."));
    }

    [Test]
    public async Task A_role_that_may_not_create_tables_is_named()
    {
        _server.Tables.MayCreate = false;
        await using var destination = _server.Open();
        var results = await destination.CheckAsync(default).ToListAsync();
        Assert.That(results[^1].Step, Is.EqualTo("permissions"));
        Assert.That(results[^1].Detail, Does.Contain("Insufficient privileges").And.Contain("Setting: role."));
    }

    [TestCase("account", "https://x.snowflakecomputing.com")]
    [TestCase("account", "")]
    [TestCase("host", "x.snowflakecomputing.com")]
    [TestCase("schema", "")]
    [TestCase("mode", "upsert")]
    [TestCase("key", "id")]
    [TestCase("version", "id")]
    [TestCase("column_names", "lower")]
    [TestCase("timeout", 0)]
    [TestCase("timeout", 100_000)]
    [TestCase("access_token", "both")]
    [TestCase("storage_integration", "both", "stage")]
    [TestCase("stage", "a.b.c.d")]
    [TestCase("stage_part_size", 1)]
    [TestCase("stage_bucket", "x")]
    [TestCase("private_key", null)]
    public void A_setting_out_of_range_is_refused_by_name(string setting, object? value, string? named = null) => Assert.That(
        () => _server.Open((setting, value)), Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo(named ?? setting));

    [Test]
    public void Without_stage_integration_and_keys_nothing_says_how_Snowflake_reads_the_bucket() => Assert.That(
        () => _server.Open(("stage", null), ("stage_access_key", null), ("stage_secret_key", null)),
        Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("storage_integration"));

    [Test]
    public async Task A_secret_of_a_copy_is_in_no_error()
    {
        await using var destination = _server.Open(("stage", null), ("copy_access_key", "AKIAWRONG"), ("copy_secret_key", "sEcReTsEcReT"));
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [1, "a"]));
        Assert.That(error!.ToString(), Does.Not.Contain("AKIAWRONG").And.Not.Contain("sEcReTsEcReT"));
        Assert.That(destination.Classify(error), Has.Property("Setting").EqualTo("copy_access_key"));
    }

    private static bool IsTransaction(SnowflakeCall call) => call.Text.Contains("COMMITTED_IN\" = CURRENT_TRANSACTION(), ", StringComparison.Ordinal);

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

    private Task<List<string?>> TextsAsync() => _server.ListAsync($"SELECT \"TEXT\" FROM {Events} ORDER BY \"ID\"");

    private Task<List<string?>> StagesAsync() =>
        _server.ListAsync("SELECT table_name FROM information_schema.tables WHERE table_catalog = 'ANALYTICS' AND table_name LIKE '\\_EXPORTER\\_STAGE%' ESCAPE '\\'");
}
