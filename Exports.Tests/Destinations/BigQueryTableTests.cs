using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The table that rows go to: its columns, types, names and layout.</summary>
public sealed class BigQueryTableTests
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
            await _server.ListAsync($"SELECT concat_ws('|', id, coalesce(text, '-'), coalesce(CAST(\"at\" AS VARCHAR), '-')) FROM {Events} ORDER BY id"),
            Is.EqualTo(new[] { "1|a|-", "2|-|2026-01-01 00:00:00+00" }));
    }

    [Test]
    public async Task A_table_that_others_change_at_the_same_time_gets_its_columns()
    {
        await _server.CreateAsync("events", "id INTEGER");
        var left = 1;
        _server.Fault = call => call.Kind == "table.patch" && left-- > 0 ? new BigQueryFault { Status = 412, Reason = "conditionNotMet" } : null;
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
    }

    [TestCase("id STRING", "text STRING", "\"id\"", "STRING", "INT64")]
    [TestCase("id NUMERIC(18)", "text STRING", "\"id\"", "NUMERIC(18)", "INT64")]
    [TestCase("id INTEGER", "text INTEGER", "\"text\"", "INT64", "STRING")]
    [TestCase("id INTEGER", "text STRING(5)", "\"text\"", "STRING(5)", "STRING")]
    [TestCase("id INTEGER", "text STRING REPEATED", "\"text\"", "ARRAY<STRING>", "STRING")]
    public async Task A_type_that_does_not_take_every_value_is_reported_before_anything_is_written(string first, string second, string column, string there, string needed)
    {
        await _server.CreateAsync("events", first, second);
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync<UserErrorException>(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default));
        Assert.That(error!.Setting, Is.EqualTo("table"));
        Assert.That(error.Message, Does.Contain(column).And.Contain(there).And.Contain(needed).And.Contain("Nothing was written"));
        Assert.That(Stages(), Is.Empty);
    }

    [Test]
    public async Task A_column_that_is_required_and_not_filled_is_reported()
    {
        await _server.CreateAsync("events", "id INTEGER", "text STRING", "more STRING REQUIRED");
        await using var destination = _server.Open();
        Assert.That(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("\"more\" of test-project.analytics.events is REQUIRED"));
    }

    [Test]
    public async Task A_required_column_without_a_value_is_the_users_to_mend()
    {
        await _server.CreateAsync("events", "id INTEGER REQUIRED", "text STRING");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(1), [null, "a"]));
        Assert.That(destination.Classify(error!), Has.Property("Setting").EqualTo("columns").And.Property("Message").Contains("REQUIRED"));
        Assert.That(await TextsAsync(), Is.Empty);
    }

    [Test]
    public async Task A_new_table_is_partitioned_clustered_and_labelled_as_it_is_told()
    {
        var table = new TestTable("id", "at:instant");
        await using var destination = _server.Open(("partition_by", "at"), ("partition_unit", "month"), ("cluster_by", "id"), ("labels", "team=data,env=test"));
        await (await destination.OpenSliceAsync(Slice(1), table.Schema, default)).DisposeAsync();
        var made = _server.Tables.All["events"];
        Assert.That(made["timePartitioning"]!.ToJsonString(), Is.EqualTo("""{"type":"MONTH","field":"at"}"""));
        Assert.That(made["clustering"]!.ToJsonString(), Is.EqualTo("""{"fields":["id"]}"""));
        Assert.That(made["labels"]!.ToJsonString(), Is.EqualTo("""{"team":"data","env":"test"}"""));
    }

    [TestCase("partition_by", "text", "partition_by", "STRING")]
    [TestCase("partition_by", "missing", "partition_by", "no column \"missing\"")]
    [TestCase("cluster_by", "missing", "cluster_by", "no column \"missing\"")]
    public async Task A_layout_that_the_columns_do_not_allow_is_refused(string setting, string value, string named, string sentence)
    {
        await using var destination = _server.Open((setting, value));
        Assert.That(() => destination.OpenSliceAsync(Slice(1), Table.Schema, default), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo(named).And.Message.Contains(sentence));
    }

    [TestCase("bad-äöü$", "columns")]
    [TestCase("1st", "columns")]
    [TestCase("_PARTITIONTIME", "columns")]
    [TestCase("_exporter_commit", "provenance_column")]
    public async Task A_column_that_BigQuery_has_no_name_for_is_refused(string column, string setting)
    {
        await using var destination = _server.Open();
        Assert.That(() => destination.OpenSliceAsync(Slice(1), new TestTable(column).Schema, default), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo(setting));
    }

    [Test]
    public async Task Two_columns_that_differ_in_capitals_only_are_refused()
    {
        await using var destination = _server.Open();
        Assert.That(() => destination.OpenSliceAsync(Slice(1), new TestTable("id", "ID").Schema, default), Throws.TypeOf<UserErrorException>().With.Message.Contains("capitals"));
    }

    [Test]
    public async Task A_name_with_quotes_backslashes_and_semicolons_is_only_a_name()
    {
        var export = "o'brien\\`\";drop table x;--\n";
        await using (var named = _server.Open())
        {
            Assert.That(() => ExportAsync(named, new SliceAddress(export, Day, 0, 1, 1), [1, "a"]), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("table"));
        }

        await using var destination = _server.Open(("table", "events"));
        await ExportAsync(destination, new SliceAddress(export, Day, 0, 1, 1) { StepKey = "it's" }, [1, "a"]);
        Assert.That(await TextsAsync(), Is.EqualTo(new[] { "a" }));
        Assert.That(await _server.ListAsync("SELECT export FROM \"test-project\".analytics._exporter_commits_events"), Is.EqualTo(new[] { export }));
    }

    [Test]
    public async Task Texts_that_look_like_something_else_stay_what_they_are()
    {
        string?[] texts = ["", "NULL", "\\N", "null", "a\0b", " ", "\\", "`'\""];
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [.. texts.Select((text, at) => new object?[] { at, text })]);
        Assert.That(await TextsAsync(), Is.EqualTo(texts));
    }

    [Test]
    public async Task Text_that_a_table_has_as_JSON_becomes_JSON_and_what_is_none_is_the_users_to_mend()
    {
        await _server.CreateAsync("events", "id INTEGER", "text JSON");
        await using var destination = _server.Open();
        await ExportAsync(destination, Slice(1), [1, "{\"a\":1}"]);
        Assert.That(await _server.ListAsync($"SELECT text->>'$.a' FROM {Events}"), Is.EqualTo(new[] { "1" }));
        var error = await Assert.CatchAsync(() => ExportAsync(destination, Slice(2), [1, "no json"]));
        Assert.That(destination.Classify(error!), Has.Property("Setting").EqualTo("columns"));
    }

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
