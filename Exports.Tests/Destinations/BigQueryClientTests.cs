using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Formats;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The client alone against the double of the REST API: what is answered, refused, late, lost and repeated.</summary>
public sealed class BigQueryClientTests
{
    private const int Chunk = 256 * 1024;
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

    [Test]
    public async Task A_file_is_sent_in_chunks_and_loaded_at_its_end()
    {
        var file = await FileAsync();
        await UploadAsync(file);
        Assert.That(file.Length, Is.GreaterThan(2 * Chunk));
        Assert.That(Kinds("upload.put"), Is.EqualTo((file.Length + Chunk - 1) / Chunk));
        Assert.That(Kinds("upload.status"), Is.Zero);
        Assert.That(_server.Uploads.Longest, Is.EqualTo(Chunk));
    }

    [TestCase(1)]
    [TestCase(2)]
    public async Task An_upload_of_which_less_has_arrived_goes_on_from_there(int which)
    {
        var file = await FileAsync();
        var chunks = 0;
        _server.Fault = call => call.Kind == "upload.put" && ++chunks == which ? new BigQueryFault { ShortBy = Chunk } : null;
        await UploadAsync(file, chunk: 2 * Chunk);
        Assert.That(chunks, Is.EqualTo(((file.Length + (2 * Chunk) - 1) / (2 * Chunk)) + 1));
    }

    [TestCase(0, false)]
    [TestCase(503, false)]
    [TestCase(500, true)]
    [TestCase(0, true)]
    public async Task An_upload_that_broke_asks_how_far_it_is_and_goes_on_from_there(int status, bool executes)
    {
        var left = 1;
        _server.Fault = call => call.Kind == "upload.put" && left-- > 0 ? new BigQueryFault { Status = status, Executes = executes } : null;
        await UploadAsync(await FileAsync());
        Assert.That(Kinds("upload.status"), Is.EqualTo(1));
    }

    [Test]
    public async Task An_upload_of_which_a_part_arrived_before_it_broke_goes_on_behind_that()
    {
        var left = 1;
        _server.Fault = call => call.Kind == "upload.put" && left-- > 0 ? new BigQueryFault { Status = 503, ShortBy = Chunk } : null;
        await UploadAsync(await FileAsync(), chunk: 2 * Chunk);
        Assert.That(Kinds("upload.status"), Is.EqualTo(1));
    }

    [TestCase(0)]
    [TestCase(502)]
    public async Task A_last_chunk_whose_answer_is_lost_is_one_job(int status)
    {
        var file = await FileAsync();
        var (chunks, all) = (0, (file.Length + Chunk - 1) / Chunk);
        _server.Fault = call => call.Kind == "upload.put" && ++chunks == all ? new BigQueryFault { Executes = true, Status = status } : null;
        await UploadAsync(file);
    }

    // Its session is gone, but its job is there.
    [Test]
    public async Task An_upload_that_is_gone_behind_its_end_is_found_by_its_job()
    {
        var file = await FileAsync();
        var (chunks, all) = (0, (file.Length + Chunk - 1) / Chunk);
        _server.Fault = call =>
        {
            if (call.Kind == "upload.put" && ++chunks == all)
            {
                return new BigQueryFault { Executes = true };
            }

            _server.Uploads.Forgets = call.Kind == "upload.status";
            return null;
        };
        await UploadAsync(file);
    }

    [Test]
    public async Task An_upload_that_is_gone_is_begun_again_by_the_next_attempt()
    {
        var file = await FileAsync();
        _server.Fault = call =>
        {
            _server.Uploads.Forgets = call.Kind.StartsWith("upload.p", StringComparison.Ordinal);
            return null;
        };
        using var client = Client();
        await NewTableAsync(client);
        var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
        var error = (await Assert.CatchAsync<BigQueryException>(async () => await load.SendAsync(Take(file, 0, Chunk), default)))!;
        Assert.That(BigQueryErrors.Sort(error, Options())!.Kind, Is.EqualTo(ErrorKind.Transient));
    }

    [Test]
    public async Task An_upload_with_an_expired_token_gets_another()
    {
        var file = await FileAsync();
        var left = 2;
        _server.Fault = call =>
        {
            _server.Tokens.Expired = call.Kind == "upload.put" && left-- > 0 ? 1 : 0;
            return null;
        };
        await UploadAsync(file);
    }

    [Test]
    public async Task A_load_into_a_table_that_has_rows_already_brings_none()
    {
        using var client = Client();
        await NewTableAsync(client);
        var file = await FileAsync();
        for (var time = 0; time < 2; time++)
        {
            var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
            Assert.That(await load.CompleteAsync(Take(file, 0, file.Length), default), time == 0 ? Is.EqualTo(400) : Is.Null);
        }

        Assert.That(await _server.ListAsync("SELECT value FROM \"test-project\".analytics.loaded"), Has.Count.EqualTo(400));
    }

    [Test]
    public async Task After_1500_loads_of_a_day_a_table_takes_no_more()
    {
        _server.Fault = call => call.Kind == "upload.put" ? new BigQueryFault { Fails = new BigQueryFailure(403, "quotaExceeded", "Quota exceeded: Your table exceeded quota for imports or query appends per table.") } : null;
        using var client = Client();
        await NewTableAsync(client);
        var file = await FileAsync();
        var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
        var error = (await Assert.CatchAsync<BigQueryException>(() => load.CompleteAsync(Take(file, 0, file.Length), default)))!;
        Assert.That(BigQueryErrors.Sort(error, Options()), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromMinutes(10)));
    }

    // Each reason of https://cloud.google.com/bigquery/docs/error-messages, as the answer to a request.
    [TestCase(403, "accessDenied", "Access Denied: Dataset a:b: Permission bigquery.tables.create denied on dataset a:b (or it may not exist).", ErrorKind.User, "credentials", "bigquery.tables.create is missing")]
    [TestCase(403, "accessDenied", "Access Denied: Project a: User does not have bigquery.jobs.create permission in project a.", ErrorKind.User, "credentials", "bigquery.jobs.create is missing on project")]
    [TestCase(403, "accessDenied", "BigQuery API has not been used in project 1 before or it is disabled.", ErrorKind.User, "project", "not enabled")]
    [TestCase(400, "attributeError", "x", ErrorKind.Bug, null, "attributeError")]
    [TestCase(503, "backendError", "x", ErrorKind.Transient, null, "x")]
    [TestCase(400, "badRequest", "x", ErrorKind.Bug, null, "badRequest")]
    [TestCase(403, "billingNotEnabled", "x", ErrorKind.User, "project", "billing")]
    [TestCase(400, "billingTierLimitExceeded", "x", ErrorKind.User, "project", "billing")]
    [TestCase(403, "blocked", "x", ErrorKind.User, "project", "blocked")]
    [TestCase(409, "duplicate", "Already Exists: Table a:b.c", ErrorKind.Transient, null, "Already Exists")]
    [TestCase(500, "internalError", "x", ErrorKind.Transient, null, "x")]
    [TestCase(400, "invalid", "x", ErrorKind.Bug, null, "invalid")]
    [TestCase(400, "invalid", "Invalid project ID 'x'.", ErrorKind.User, "project", "There is no project")]
    [TestCase(400, "invalidQuery", "Syntax error: Unexpected keyword at [1:1]", ErrorKind.Bug, null, "invalidQuery")]
    [TestCase(400, "invalidUser", "x", ErrorKind.Bug, null, "invalidUser")]
    [TestCase(400, "jobBackendError", "x", ErrorKind.Transient, null, "x")]
    [TestCase(400, "jobInternalError", "x", ErrorKind.Transient, null, "x")]
    [TestCase(400, "jobRateLimitExceeded", "x", ErrorKind.Throttled, null, "fewer requests")]
    [TestCase(404, "notFound", "Not found: Dataset test-project:gone", ErrorKind.User, "dataset", "There is no dataset")]
    [TestCase(404, "notFound", "Not found: Project gone", ErrorKind.User, "project", "There is no project")]
    [TestCase(404, "notFound", "Not found: Job a:b", ErrorKind.Transient, null, "Not found: Job")]
    [TestCase(404, "", "Not Found", ErrorKind.User, "endpoint", "has no BigQuery API")]
    [TestCase(501, "notImplemented", "x", ErrorKind.Transient, null, "x")]
    [TestCase(407, "proxyAuthenticationRequired", "x", ErrorKind.User, "endpoint", "proxy")]
    [TestCase(403, "quotaExceeded", "x", ErrorKind.Throttled, null, "quota")]
    [TestCase(403, "rateLimitExceeded", "x", ErrorKind.Throttled, null, "fewer requests")]
    [TestCase(400, "resourceInUse", "x", ErrorKind.Transient, null, "x")]
    [TestCase(400, "resourcesExceeded", "x", ErrorKind.User, "slice_size", "more than BigQuery gives")]
    [TestCase(403, "responseTooLarge", "x", ErrorKind.User, "slice_size", "more than BigQuery gives")]
    [TestCase(400, "tableUnavailable", "x", ErrorKind.Transient, null, "x")]
    public async Task A_reason_says_who_acts(int status, string reason, string message, ErrorKind kind, string? setting, string sentence)
    {
        _server.Fault = _ => new BigQueryFault { Status = status, Reason = reason, Message = message };
        using var client = Client();
        var error = (await Assert.CatchAsync<BigQueryException>(() => client.LocationAsync(default)))!;
        var sorted = BigQueryErrors.Sort(error, Options())!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((kind, setting)));
        Assert.That($"{sorted.Message} {sorted.Advice}", Does.Contain(sentence));
    }

    // And of jobs that failed, with what a user can meet in an export.
    [TestCase("stopped", "Job execution was cancelled: User requested cancellation", ErrorKind.Transient, null)]
    [TestCase("stopped", "Job execution was cancelled: Job timed out after 1s", ErrorKind.User, "timeout")]
    [TestCase("timeout", "Operation timed out after 6.0 hours.", ErrorKind.User, "timeout")]
    [TestCase("resourcesExceeded", "Resources exceeded during query execution", ErrorKind.User, "slice_size")]
    [TestCase("quotaExceeded", "Quota exceeded", ErrorKind.Throttled, null)]
    [TestCase("invalidQuery", "Invalid input to PARSE_JSON: syntax error while parsing value; last read: 'secret'", ErrorKind.User, "columns")]
    [TestCase("invalidQuery", "Required field id cannot be null", ErrorKind.User, "columns")]
    [TestCase("invalidQuery", "Cannot query over table 'x' without a filter over column(s) 'at' that can be used for partition elimination", ErrorKind.User, "partition_unit")]
    [TestCase("invalidQuery", "Query error: exporter: another attempt has opened a slice at [3:1]", ErrorKind.Transient, null)]
    [TestCase("invalidQuery", "Unrecognized name: x at [1:1]", ErrorKind.Transient, null)]
    [TestCase("invalid", "Error while reading data, error message: Invalid timestamp value 'secret'", ErrorKind.User, "columns")]
    [TestCase("billingNotEnabled", "Billing has not been enabled for this project. DML queries are not allowed in the free tier.", ErrorKind.User, "project")]
    [TestCase("notFound", "Not found: Table a:b.c was not found in location EU", ErrorKind.Transient, null)]
    [TestCase("accessDenied", "Access Denied: Table a:b.c: User does not have permission bigquery.tables.updateData", ErrorKind.User, "credentials")]
    public async Task A_job_that_failed_says_who_acts_and_no_value(string reason, string message, ErrorKind kind, string? setting)
    {
        _server.Fault = call => call.Kind == "job.insert" ? new BigQueryFault { Fails = new BigQueryFailure(400, reason, message) } : null;
        using var client = Client();
        var error = (await Assert.CatchAsync<BigQueryException>(() => client.QueryAsync(Job(), Insert, default)))!;
        var sorted = BigQueryErrors.Sort(error, Options())!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((kind, setting)));
        Assert.That(sorted.Message, Does.Not.Contain("secret"));
    }

    [TestCase("other key", "Invalid JWT Signature")]
    [TestCase("other account", "account not found")]
    [TestCase("clock", "Set this machine's clock.")]
    public async Task Credentials_that_are_refused_are_named(string wrong, string sentence)
    {
        using var other = RSA.Create(2048);
        _server.Tokens.Skew = wrong == "clock" ? TimeSpan.FromHours(-3) : default;
        using var client = Client(("credentials", wrong switch { "other key" => _server.Tokens.Key(key: other), "other account" => _server.Tokens.Key("somebody@x.iam.gserviceaccount.com"), _ => _server.Tokens.Key() }));
        var error = await Assert.CatchAsync(() => client.LocationAsync(default));
        var sorted = BigQueryErrors.Sort(error!, Options())!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, "credentials")));
        Assert.That($"{sorted.Message} {sorted.Advice}", Does.Contain(sentence));
        Assert.That(sorted.ToString(), Does.Not.Contain("PRIVATE"));
    }

    [Test]
    public async Task Who_gives_tokens_may_have_to_be_asked_again()
    {
        _server.Tokens.Status = 503;
        using var client = Client();
        var asking = client.LocationAsync(default);
        await Task.WhenAny(asking, Task.Delay(20));
        _server.Tokens.Status = 0;
        Assert.That(await asking, Is.EqualTo(BigQueryServer.Location));
    }

    [TestCase("no json", "no JSON")]
    [TestCase("{}", "of type \"\"")]
    [TestCase("""{"type":"authorized_user"}""", "of type \"authorized_user\"")]
    [TestCase("""{"type":"service_account","client_email":"a@b.c","private_key":"x"}""", "cannot be read")]
    [TestCase("""{"type":"service_account","private_key":"x"}""", "no client_email")]
    [TestCase("""{"type":"external_account","token_url":"https://evil.example/token","credential_source":{"file":"/x"}}""", "token_url")]
    [TestCase("""{"type":"external_account","token_url":"https://sts.googleapis.com/v1/token","service_account_impersonation_url":"http://iamcredentials.googleapis.com","credential_source":{"file":"/x"}}""", "service_account_impersonation_url")]
    [TestCase("""{"type":"external_account","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"executable":{"command":"rm"}}}""", "credential_source")]
    public void Credentials_that_are_none_or_would_go_elsewhere_are_refused_before_anything_is_asked(string credentials, string sentence) => Assert.That(
        () => Client(("credentials", credentials)), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("credentials").And.Message.Contains(sentence));

    [Test]
    public async Task A_server_that_is_not_there_is_named()
    {
        using var nobody = Client(("endpoint", "http://127.0.0.1:1"));
        var error = (await Assert.CatchAsync<BigQueryException>(() => nobody.LocationAsync(default)))!;
        Assert.That(BigQueryErrors.Sort(error, Options(("endpoint", "http://127.0.0.1:1"))), Has.Property("Kind").EqualTo(ErrorKind.Transient).And.Property("Message").Contains("127.0.0.1 cannot be reached"));

        using var unknown = Client(("endpoint", "http://no.such.host.invalid"));
        error = (await Assert.CatchAsync<BigQueryException>(() => unknown.LocationAsync(default)))!;
        Assert.That(BigQueryErrors.Sort(error, Options(("endpoint", "http://no.such.host.invalid")))!.Message, Does.Contain("There is no host named no.such.host.invalid"));
    }

    private string Identity(JsonObject source) => new JsonObject
    {
        ["type"] = "external_account",
        ["audience"] = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
        ["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt",
        ["token_url"] = new Uri(_server.Address, "sts").ToString(),
        ["credential_source"] = source,
    }.ToJsonString();

    private async Task UploadAsync(byte[] file, int chunk = Chunk)
    {
        using var client = Client();
        await NewTableAsync(client);
        var load = await client.LoadAsync(Job(), "loaded", [new("value", new BigQueryType("STRING"))], default);
        var at = 0;
        for (; file.Length - at > chunk; at += chunk)
        {
            await load.SendAsync(Take(file, at, chunk), default);
            Assert.That(load.Sent, Is.EqualTo(at + chunk));
        }

        Assert.That(await load.CompleteAsync(Take(file, at, file.Length - at), default), Is.EqualTo(400));
        Assert.That(load.Sent, Is.EqualTo(file.Length));
        Assert.That(await _server.ListAsync("SELECT value FROM \"test-project\".analytics.loaded"), Has.Count.EqualTo(400));
    }

    private static async Task NewTableAsync(BigQueryClient client)
    {
        await client.DropAsync("loaded", default);
        await client.CreateAsync(new BigQueryNewTable("loaded", [new("value", new BigQueryType("STRING"))]), default);
    }

    private static async Task<byte[]> FileAsync()
    {
        using var file = new EncodedSlice(new Model.FormatOptions { Compression = Model.Compression.None, Dictionary = false }, SliceRows.Schema);
        using var batch = SliceRows.Batch([.. Enumerable.Range(0, 400).Select(row => row + new string('x', 2_000))]);
        await file.EncodeAsync(batch, default);
        await file.CompleteAsync(default);
        using var bytes = file.Output.TakeAll();
        var memory = new MemoryStream();
        await bytes.CopyToAsync(memory, default);
        return memory.ToArray();
    }

    private static ChunkedBytes Take(byte[] file, int from, int count)
    {
        using var stream = new ChunkedStream();
        stream.Write(file, from, count);
        return stream.TakeAll();
    }

    private string Job() => string.Create(CultureInfo.InvariantCulture, $"job_{++_jobs}");

    private int Kinds(string kind) => _server.Calls.Count(call => call.Kind == kind);

    private BigQueryOptions Options(params (string, object?)[] settings) => DestinationOptions.Read<BigQueryOptions>(_server.Configured(settings)).Validate();

    private BigQueryClient Client(params (string, object?)[] settings) => new(Options(settings), TimeProvider.System, Pause);

    private async Task<int> CountAsync() => (await _server.ListAsync("SELECT n FROM \"test-project\".analytics.counted")).Count;
}
