using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What a user can meet, in one sentence that names the setting; by the double where it can bring it about, else by what Redshift's documentation and users quote.</summary>
public sealed class RedshiftErrorTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private static readonly TestTable Table = new("id", "text:text");
    private RedshiftServer _server = null!;

    [SetUp]
    public async Task MakeAsync() => _server = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [TestCase("password", "wrong", "password", "refuses the password of")]
    [TestCase("database", "missing", "database", "There is no database missing")]
    [TestCase("schema", "missing", "schema", "There is no schema \"missing\"")]
    [TestCase("ssl_mode", "require", "ssl_mode", "offers no TLS")]
    [TestCase("port", 1, null, "cannot be reached")]
    [TestCase("host", "no.such.host.invalid", null, "There is no host named no.such.host.invalid")]
    [TestCase("iam_role", "arn:aws:iam::123456789012:role/missing", "iam_role", "Redshift may not use the role")]
    [TestCase("copy_access_key", "AKIAWRONG", "copy_access_key", "Redshift may not read the bucket")]
    [TestCase("copy_secret_key", "wrong", "stage_access_key", "Redshift may not read the bucket")]
    [TestCase("stage_bucket", "no-such-bucket", "stage_bucket", "There is no bucket no-such-bucket")]
    [TestCase("stage_secret_key", "wrong", "stage_secret_key", "does not belong to the access key")]
    public async Task A_check_says_in_one_sentence_what_is_wrong(string setting, object value, string? named, string sentence)
    {
        await using var destination = setting.StartsWith("copy_", StringComparison.Ordinal) ? _server.Open(("iam_role", null), (setting, value)) : _server.Open((setting, value));
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];
        Assert.That(last.Ok, Is.False);
        Assert.That(last.Detail, Does.Contain(sentence));
        Assert.That(last.Detail, named is null ? Is.Not.Empty : Does.Contain($"Setting: {named}."));
        Assert.That(await _server.StagedAsync(), Is.Empty);
    }

    [Test]
    public async Task A_PostgreSQL_is_no_Redshift()
    {
        await using var destination = _server.Open(("port", _server.Parts.Port), ("password", null), ("username", "postgres"));
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];
        Assert.That(last.Detail, Does.Contain("is no Redshift").And.Contain("Setting: host."));
    }

    [Test]
    public async Task A_user_who_may_not_create_tables_is_named()
    {
        await _server.ExecuteAsync($"revoke create on schema public from \"{_server.User}\"");
        await using var destination = _server.Open();
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];
        Assert.That(last.Step, Is.EqualTo("permissions"));
        Assert.That(last.Detail, Does.Contain("may not do this").And.Contain("Setting: username."));
    }

    [Test]
    public async Task A_bucket_in_another_region_is_named()
    {
        _server.Copy.IsElsewhere = true;
        await using var destination = _server.Open();
        var last = (await destination.CheckAsync(default).ToListAsync())[^1];
        Assert.That(last.Detail, Does.Contain("another region").And.Contain("Setting: stage_bucket."));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_text_that_is_too_long_is_said_with_its_column_out_of_the_load_error_views(bool isServerless)
    {
        await _server.SayAsync("CREATE TABLE \"events\" (\"id\" BIGINT, \"text\" VARCHAR(5))");
        await _server.ExecuteAsync($"drop view redshift.{(isServerless ? "stl_load_errors" : "sys_load_error_detail")}");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, [1, "東京s"]));
        Assert.That(destination.Classify(error!), Is.EqualTo(new ExportError(
            ErrorKind.User, "Redshift cannot load a value of column text (varchar): String length exceeds DDL length.", "columns", "Shorten the value in the column's expression, or see to it with bad_rows.")));
        Assert.That(await _server.ListAsync<long>("select count(*) from events"), Is.EqualTo(new[] { 0L }));
    }

    [Test]
    public async Task A_text_that_is_too_long_to_insert_is_said_too()
    {
        await _server.SayAsync("CREATE TABLE \"events\" (\"id\" BIGINT, \"text\" VARCHAR(5))");
        await using var destination = _server.Open(("load", "insert"));
        var error = await Assert.CatchAsync(() => ExportAsync(destination, [1, "東京s"]));
        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo("columns").And.Property("Message").Contains("too long"));
    }

    [Test]
    public async Task JSON_that_cannot_be_parsed_is_said()
    {
        await _server.SayAsync("CREATE TABLE \"events\" (\"id\" BIGINT, \"text\" SUPER)");
        await using var destination = _server.Open();
        var error = await Assert.CatchAsync(() => ExportAsync(destination, [1, "{"]));
        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.User).And.Property("Setting").EqualTo("columns").And.Property("Message").Contains("JSON parsing error"));
    }

    [Test]
    public async Task A_secret_of_a_copy_is_in_no_error()
    {
        await using var destination = _server.Open(("iam_role", null), ("copy_access_key", "AKIAWRONG"), ("copy_secret_key", "sEcReTsEcReT"));
        _server.Fault = call => RedshiftCopy.IsCopy(call.Text) ? new RedshiftFault { Error = new RedshiftFailure("42601", $"syntax error at or near \"{call.Text}\"", call.Text) } : null;
        var error = await Assert.CatchAsync(() => ExportAsync(destination, [1, "a"]));
        Assert.That(error!.ToString(), Does.Not.Contain("AKIAWRONG").And.Not.Contain("sEcReTsEcReT").And.Contain("***"));
        Assert.That($"{destination.Classify(error)}", Does.Not.Contain("AKIAWRONG").And.Not.Contain("sEcReTsEcReT"));
    }

    [Test]
    public async Task Inserting_needs_no_bucket()
    {
        await using var destination = _server.Open(("load", "insert"), ("iam_role", null), ("stage_bucket", null), ("stage_prefix", null), ("stage_endpoint", null), ("stage_part_size", null), ("stage_access_key", null), ("stage_secret_key", null));
        Assert.That(await destination.CheckAsync(default).ToListAsync(), Has.All.Property("Ok").True);
    }

    private static async Task ExportAsync(IDestination destination, params object?[][] rows)
    {
        await using var sink = await destination.OpenSliceAsync(new SliceAddress("events", Day, 0, 1, 1), Table.Schema, default);
        using var batch = Table.Batch(rows);
        await sink.WriteAsync(batch, default);
        await sink.CommitAsync(default);
    }
}
