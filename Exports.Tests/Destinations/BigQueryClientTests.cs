using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The client alone against the double of the REST API: what is answered, refused, late, lost and repeated.</summary>
public sealed class BigQueryClientTests
{
    private const string Table = "`test-project`.`analytics`.`counted`";
    private const string Insert = $"INSERT INTO {Table} (`n`) SELECT 1";
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);
    private BigQueryServer _server = null!;
    private int _jobs;

    [OneTimeSetUp]
    public async Task MakeAsync()
    {
        _server = await BigQueryServer.StartAsync();
        await _server.CreateAsync("counted", "n INTEGER");
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [SetUp]
    public async Task ResetAsync()
    {
        (_server.Fault, _server.PageRows, _server.Tokens.Expired, _server.Tokens.Skew, _server.Tokens.Status, _server.Uploads.Forgets) = (_ => null, 1_000, 0, default, 0, false);
        _server.Tables.Denied.Clear();
        _server.Calls.Clear();
        await _server.Tables.RunAsync("DELETE FROM \"test-project\".analytics.counted");
    }

    [Test]
    public async Task A_service_account_is_let_in_and_its_token_used_until_it_expires()
    {
        using var client = Client();
        var before = _server.Tokens.Given;
        Assert.That(await client.LocationAsync(default), Is.EqualTo(BigQueryServer.Location));
        await client.LocationAsync(default);
        Assert.That(_server.Tokens.Given, Is.EqualTo(before + 1));
    }

    [Test]
    public async Task A_workload_identity_is_let_in_by_the_token_of_its_file()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, BigQueryTokens.Subject);
        using var client = Client(("credentials", Identity(new JsonObject { ["file"] = file })));
        Assert.That(await client.LocationAsync(default), Is.EqualTo(BigQueryServer.Location));
        File.Delete(file);
    }

    [Test]
    public async Task A_token_that_is_refused_is_renewed_once()
    {
        using var client = Client();
        await client.LocationAsync(default);
        _server.Tokens.Expired = 1;
        await client.LocationAsync(default);

        _server.Tokens.Expired = 10;
        var error = (await Assert.CatchAsync<BigQueryException>(() => client.LocationAsync(default)))!;
        Assert.That((error.Status, BigQueryErrors.Sort(error, Options())!.Setting), Is.EqualTo((401, "credentials")));
    }

    [Test]
    public async Task A_job_that_takes_long_is_looked_at_until_it_is_done()
    {
        _server.Fault = call => call.Kind == "job.insert" ? new BigQueryFault { Polls = 5 } : null;
        using var client = Client();
        await client.QueryAsync(Job(), Insert, default);
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_result_of_many_pages_comes_whole_and_in_order()
    {
        _server.PageRows = 7;
        using var client = Client();
        var result = await client.QueryAsync(Job(), "SELECT range AS n FROM range(50)", default);
        Assert.That(result.Rows.Select(row => row[0]), Is.EqualTo(Enumerable.Range(0, 50).Select(row => row.ToString(CultureInfo.InvariantCulture))));
        Assert.That(result.Value(7, "N"), Is.EqualTo("7"));
    }

    [Test]
    public async Task Of_several_statements_the_last_one_answers()
    {
        using var client = Client();
        Assert.That((await client.QueryAsync(Job(), $"{Insert};\nSELECT COUNT(*) AS c FROM {Table}", default)).Value(0, "c"), Is.EqualTo("1"));
    }

    [Test]
    public async Task When_a_statement_of_a_transaction_fails_nothing_of_it_stays()
    {
        using var client = Client();
        var error = (await Assert.CatchAsync<BigQueryException>(() => client.QueryAsync(Job(), $"BEGIN TRANSACTION;\n{Insert};\nSELECT ERROR('exporter: no');\nCOMMIT TRANSACTION", default)))!;
        Assert.That((error.Status, error.Reason, error.Job), Is.EqualTo((200, "invalidQuery", $"job_{_jobs}_1")));
        Assert.That(await CountAsync(), Is.Zero);
    }

    [TestCase(0)]
    [TestCase(500)]
    [TestCase(503)]
    public async Task A_job_whose_answer_is_lost_is_found_by_its_name_and_not_executed_twice(int status)
    {
        var left = 1;
        _server.Fault = call => call.Kind == "job.insert" && left-- > 0 ? new BigQueryFault { Executes = true, Status = status } : null;
        using var client = Client();
        await client.QueryAsync(Job(), Insert, default);
        Assert.That(Kinds("job.insert"), Is.EqualTo(2), "the second was answered with 409");
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [TestCase(500, "internalError")]
    [TestCase(502, "")]
    [TestCase(503, "backendError")]
    [TestCase(504, "")]
    [TestCase(403, "rateLimitExceeded")]
    [TestCase(429, "")]
    [TestCase(0, "")]
    public async Task A_request_that_never_got_through_is_sent_again(int status, string reason)
    {
        var left = 3;
        _server.Fault = call => call.Kind == "job.insert" && left-- > 0 ? new BigQueryFault { Status = status, Reason = reason } : null;
        using var client = Client();
        await client.QueryAsync(Job(), Insert, default);
        Assert.That(Kinds("job.insert"), Is.EqualTo(4));
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [TestCase("backendError", "It may go well.")]
    [TestCase("jobInternalError", "It may go well.")]
    [TestCase("jobRateLimitExceeded", "Exceeded rate limits: too many table dml insert operations for this table")]
    [TestCase("invalidQuery", "Transaction is aborted due to concurrent update against table test-project:analytics.counted. Transaction ID: 1")]
    [TestCase("invalidQuery", "Could not serialize access to table test-project:analytics.counted due to concurrent update")]
    public async Task A_job_that_failed_by_no_fault_of_its_own_is_tried_again_under_another_name(string reason, string message)
    {
        var left = 2;
        _server.Fault = call => call.Kind == "job.insert" && left-- > 0 ? new BigQueryFault { Fails = new BigQueryFailure(400, reason, message) } : null;
        using var client = Client();
        await client.QueryAsync(Job(), Insert, default);
        Assert.That(_server.Calls.Where(call => call.Kind == "job.insert").Select(call => call.Name), Is.EqualTo(new[] { $"job_{_jobs}_1", $"job_{_jobs}_2", $"job_{_jobs}_3" }));
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_pause_that_is_asked_for_is_kept()
    {
        var left = 1;
        _server.Fault = _ => left-- > 0 ? new BigQueryFault { Status = 429, RetryAfter = "1" } : null;
        using var client = Client();
        var clock = Stopwatch.StartNew();
        await client.LocationAsync(default);
        Assert.That(clock.Elapsed, Is.GreaterThan(TimeSpan.FromSeconds(0.95)));
    }

    [Test]
    public async Task A_long_pause_is_left_to_the_run()
    {
        _server.Fault = _ => new BigQueryFault { Status = 503, RetryAfter = "600" };
        using var client = Client();
        var error = (await Assert.CatchAsync<BigQueryException>(() => client.LocationAsync(default)))!;
        Assert.That(_server.Calls, Has.Count.EqualTo(1));
        Assert.That(BigQueryErrors.Sort(error, Options()), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromMinutes(10)));
    }

    [Test]
    public async Task What_nobody_waits_for_is_cancelled()
    {
        _server.Fault = call => call.Kind == "job.insert" ? new BigQueryFault { Polls = 100_000 } : null;
        using var client = Client();
        using var cancelled = new CancellationTokenSource();
        var running = client.QueryAsync(Job(), Insert, cancelled.Token);
        await Eventually.TrueAsync(() => Task.FromResult(Kinds("job.get") > 0), "it is under way");
        await cancelled.CancelAsync();
        Assert.That(async () => await running, Throws.InstanceOf<OperationCanceledException>());
        await Eventually.TrueAsync(() => Task.FromResult(!_server.Cancelled.IsEmpty), "it is cancelled");
        Assert.That(await CountAsync(), Is.Zero);
    }

    [TestCase("CREATE TABLE x (y INT64)")]
    [TestCase("BEGIN TRANSACTION;\nDROP TABLE x;\nCOMMIT TRANSACTION")]
    public async Task What_a_transaction_does_not_take_is_refused(string sql)
    {
        using var client = Client();
        Assert.That((await Assert.CatchAsync<BigQueryException>(() => client.QueryAsync(Job(), sql, default)))!.Reason, Is.EqualTo("invalidQuery"));
    }

    [Test]
    public async Task A_table_is_made_found_widened_and_removed()
    {
        using var client = Client();
        var (text, number) = (new BigQueryType("STRING"), new BigQueryType("INT64"));
        Assert.That(await client.FindAsync("wide", default), Is.Null);
        await client.CreateAsync(new BigQueryNewTable("wide", [new("a", text), new("at", new BigQueryType("TIMESTAMP"))]) { Partition = ("at", "month"), Cluster = ["a"] }, default);
        await client.CreateAsync(new BigQueryNewTable("wide", [new("other", text)]), default);
        var found = (await client.FindAsync("wide", default))!;
        Assert.That(found.Columns.Keys, Is.EqualTo(new[] { "a", "at" }), "one that is there stays");
        Assert.That(_server.Tables.All["wide"]["timePartitioning"]!.ToJsonString(), Is.EqualTo("""{"type":"MONTH","field":"at"}"""));
        Assert.That(await client.AddColumnsAsync(found, [new("b", number)], default), Is.True);
        Assert.That(await client.AddColumnsAsync(found, [new("c", number)], default), Is.False, "somebody has changed it meanwhile");
        Assert.That((await client.FindAsync("wide", default))!.Columns["B"].Type, Is.EqualTo(number));
        await client.DropAsync("wide", default);
        await client.DropAsync("wide", default);
        Assert.That(await client.FindAsync("wide", default), Is.Null);
    }

    private string Identity(JsonObject source) => new JsonObject
    {
        ["type"] = "external_account",
        ["audience"] = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
        ["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt",
        ["token_url"] = new Uri(_server.Address, "sts").ToString(),
        ["credential_source"] = source,
    }.ToJsonString();

    private string Job() => string.Create(CultureInfo.InvariantCulture, $"job_{++_jobs}");

    private int Kinds(string kind) => _server.Calls.Count(call => call.Kind == kind);

    private BigQueryOptions Options(params (string, object?)[] settings) => DestinationOptions.Read<BigQueryOptions>(_server.Configured(settings)).Validate();

    private BigQueryClient Client(params (string, object?)[] settings) => new(Options(settings), TimeProvider.System, Pause);

    private async Task<int> CountAsync() => (await _server.ListAsync("SELECT n FROM \"test-project\".analytics.counted")).Count;
}
