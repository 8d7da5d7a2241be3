using System.Globalization;
using System.Security.Cryptography;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.BigQuery;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Each error that BigQuery's documentation lists and a user can meet, against the double: who acts, and which setting is named.</summary>
public sealed class BigQueryErrorTests
{
    private BigQueryServer _server = null!;
    private int _jobs;

    [OneTimeSetUp]
    public async Task MakeAsync() => _server = await BigQueryServer.StartAsync();

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [SetUp]
    public void Reset()
    {
        (_server.Fault, _server.Tokens.Expired, _server.Tokens.Skew, _server.Tokens.Status, _server.Uploads.Forgets) = (_ => null, 0, default, 0, false);
        _server.Calls.Clear();
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
        var error = (await Assert.CatchAsync<BigQueryException>(() => client.QueryAsync(Job(), "SELECT 1 AS one", default)))!;
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
        using var client = Client(("credentials", wrong switch { "other key" => BigQueryTokens.Key(key: other), "other account" => BigQueryTokens.Key("somebody@x.iam.gserviceaccount.com"), _ => BigQueryTokens.Key() }));
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

    private string Job() => string.Create(CultureInfo.InvariantCulture, $"job_{++_jobs}");

    private BigQueryOptions Options(params (string, object?)[] settings) => DestinationOptions.Read<BigQueryOptions>(_server.Configured(settings)).Validate();

    private BigQueryClient Client(params (string, object?)[] settings) => new(Options(settings), TimeProvider.System, TimeSpan.FromMilliseconds(5));
}
