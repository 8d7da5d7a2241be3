using System.Diagnostics;
using System.Globalization;
using Exporter.Engine.Tests;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Snowflake;
using Exporter.Exports.Tests.Doubles;
using Exporter.Exports.Tests.Sources;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>The client alone against the double of the SQL API: what is answered, refused, late, lost and repeated.</summary>
public sealed class SnowflakeClientTests
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);
    private SnowflakeServer _server = null!;

    [OneTimeSetUp]
    public async Task MakeAsync()
    {
        _server = await SnowflakeServer.StartAsync(await TestServers.S3Async());
        await _server.ExecuteAsync("CREATE TABLE \"ANALYTICS\".\"PUBLIC\".\"COUNTED\" (\"N\" NUMBER(38,0))");
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    [SetUp]
    public async Task ResetAsync()
    {
        (_server.Fault, _server.PartitionRows, _server.Tokens.Expired, _server.Tokens.Skew) = (_ => null, 1_000, 0, default);
        _server.Calls.Clear();
        await _server.ExecuteAsync("DELETE FROM \"ANALYTICS\".\"PUBLIC\".\"COUNTED\"");
    }

    [TestCase("private_key")]
    [TestCase("access_token")]
    [TestCase("oauth_token")]
    [TestCase("oauth_refresh_token")]
    public async Task Each_way_to_say_who_asks_is_let_in(string setting)
    {
        using var client = Client(Only(setting));
        Assert.That((await client.ExecuteAsync("SELECT 1 AS \"ONE\"", default)).Value(0, "ONE"), Is.EqualTo("1"));
    }

    [Test]
    public async Task An_access_token_is_renewed_before_it_ends_and_when_it_is_refused()
    {
        var clock = new MovedClock();
        var before = _server.Tokens.Given;
        using var client = new SnowflakeClient(Options(Renewed), clock, Pause);
        for (var time = 0; time < 3; time++)
        {
            await client.ExecuteAsync("SELECT 1 AS \"ONE\"", default);
        }

        Assert.That(_server.Tokens.Given - before, Is.EqualTo(1), "one is used as long as it lives");
        clock.Ahead = TimeSpan.FromMinutes(9.5);
        await client.ExecuteAsync("SELECT 1 AS \"ONE\"", default);
        Assert.That(_server.Tokens.Given - before, Is.EqualTo(2), "it is asked for before the old one ends");
        _server.Tokens.Expired = 1;
        await client.ExecuteAsync("SELECT 1 AS \"ONE\"", default);
        Assert.That(_server.Tokens.Given - before, Is.EqualTo(3), "what is refused is asked for anew");
    }

    [TestCase("oauth_refresh_token", "invalid_grant", "authorize the client again")]
    [TestCase("oauth_client_secret", "invalid_client", "SYSTEM$SHOW_OAUTH_CLIENT_SECRETS")]
    public async Task A_refresh_token_or_client_that_is_refused_is_said(string setting, string code, string advice)
    {
        (string, object?)[] settings = [.. Renewed, (setting, "wrong-secret")];
        using var client = Client(settings);
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync("SELECT 1 AS \"ONE\"", default)))!;
        var sorted = SnowflakeErrors.Sort(error, Options(settings))!;
        Assert.That((error.Code, sorted.Kind, sorted.Setting), Is.EqualTo((code, ErrorKind.User, setting)));
        Assert.That(sorted.Advice, Does.Contain(advice));
        Assert.That($"{error}{sorted}", Does.Not.Contain("wrong-secret"));
    }

    [TestCase("oauth_client_id", null)]
    [TestCase("oauth_client_secret", null)]
    [TestCase("oauth_token_url", "elsewhere")]
    [TestCase("oauth_refresh_token", null, "private_key")]
    public void What_belongs_to_a_refresh_token_is_asked_for_by_name(string setting, string? value, string? named = null) => Assert.That(
        () => Options([.. Renewed, (setting, value)]), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo(named ?? setting));

    [Test]
    public async Task A_private_key_that_is_encrypted_is_opened_by_its_passphrase()
    {
        using var client = Client(("private_key", _server.Tokens.Encrypted("open sesame")), ("private_key_passphrase", "open sesame"));
        Assert.That((await client.ExecuteAsync("SELECT 1 AS \"ONE\"", default)).Rows, Has.Count.EqualTo(1));

        var error = Assert.Throws<UserErrorException>(() => Client(("private_key", _server.Tokens.Encrypted("open sesame")), ("private_key_passphrase", "no")));
        Assert.That((error!.Setting, error.Message.Contains("BEGIN", StringComparison.Ordinal)), Is.EqualTo(("private_key_passphrase", false)));
        Assert.That(() => Client(("private_key", "no key")), Throws.TypeOf<UserErrorException>().With.Property("Setting").EqualTo("private_key"));
    }

    [TestCase("MYORG-TEST", "MYORG-TEST")]
    [TestCase("xy12345.us-east-1", "XY12345")]
    [TestCase("xy12345.us-east-1.aws", "XY12345")]
    [TestCase("myorg-abc123.global", "MYORG")]
    public void A_token_names_the_account_without_its_region(string account, string expected) =>
        Assert.That(SnowflakeCredentials.AccountOf(account), Is.EqualTo(expected));

    [TestCase("myorg-my_account", "https://myorg-my-account.snowflakecomputing.com/")]
    [TestCase("XY12345.us-east-1", "https://xy12345.us-east-1.snowflakecomputing.com/")]
    public void The_accounts_address_has_no_underscores(string account, string expected)
    {
        var options = new SnowflakeOptions { Account = account, User = "u", Warehouse = "w", Database = "d" };
        Assert.That(options.Url.ToString(), Is.EqualTo(expected));
    }

    [Test]
    public async Task A_statement_that_takes_long_is_looked_at_until_it_is_done()
    {
        _server.Fault = _ => new SnowflakeFault { Polls = 5 };
        using var client = Client();
        await client.ExecuteAsync(Insert, default);
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_look_that_is_told_to_come_later_does_so()
    {
        _server.Fault = _ => new SnowflakeFault { Polls = 3, PollStatus = 429 };
        using var client = Client();
        await client.ExecuteAsync(Insert, default);
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_result_of_many_partitions_comes_whole_and_in_order()
    {
        _server.PartitionRows = 7;
        using var client = Client();
        var result = await client.ExecuteAsync("SELECT range AS \"N\" FROM range(50)", default);
        Assert.That(result.Rows.Select(row => row[0]), Is.EqualTo(Enumerable.Range(0, 50).Select(row => row.ToString(CultureInfo.InvariantCulture))));
        Assert.That(result.Columns, Is.EqualTo(new[] { "N" }));
    }

    [Test]
    public async Task Of_several_statements_the_one_that_is_asked_for_answers()
    {
        using var client = Client();
        var result = await client.ExecuteAllAsync(["BEGIN TRANSACTION", Insert, "SELECT COUNT(*) AS \"C\" FROM " + Table, "COMMIT"], 2, default);
        Assert.That(result.Value(0, "C"), Is.EqualTo("1"));
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task When_one_of_several_fails_a_transaction_is_undone_and_its_own_message_is_found()
    {
        using var client = Client();
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAllAsync(["BEGIN TRANSACTION", Insert, "SELECT CAST('abc' AS INTEGER)", "COMMIT"], 3, default)))!;
        Assert.That((error.Status, error.Code, error.Cause), Is.EqualTo((422, "100132", "Numeric value 'abc' is not recognized")));
        Assert.That(await CountAsync(), Is.Zero);

        // Outside of one, what came before stays.
        await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAllAsync([Insert, "SELECT CAST('abc' AS INTEGER)"], 1, default));
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_request_whose_answer_is_lost_is_sent_again_under_its_id_and_not_executed_twice()
    {
        _server.Fault = call => call.Number == _server.Calls.First().Number ? new SnowflakeFault { Executes = true } : null;
        using var client = Client();
        await client.ExecuteAsync(Insert, default);
        Assert.That(_server.Calls.Select(call => call.IsRetry), Is.EqualTo(new[] { false, true }));
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [TestCase(500)]
    [TestCase(502)]
    [TestCase(503)]
    [TestCase(504)]
    [TestCase(0)]
    public async Task A_request_that_never_got_through_is_sent_again(int status)
    {
        var left = 3;
        _server.Fault = _ => left-- > 0 ? new SnowflakeFault { Status = status } : null;
        using var client = Client();
        await client.ExecuteAsync(Insert, default);
        Assert.That(_server.Calls, Has.Count.EqualTo(4));
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_pause_that_is_asked_for_is_kept()
    {
        var left = 1;
        _server.Fault = _ => left-- > 0 ? new SnowflakeFault { Status = 429, RetryAfter = "1" } : null;
        using var client = Client();
        var clock = Stopwatch.StartNew();
        await client.ExecuteAsync(Insert, default);
        Assert.That(clock.Elapsed, Is.GreaterThan(TimeSpan.FromSeconds(0.95)));
    }

    [Test]
    public async Task A_long_pause_is_left_to_the_run()
    {
        _server.Fault = _ => new SnowflakeFault { Status = 503, RetryAfter = "600" };
        using var client = Client();
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync(Insert, default)))!;
        Assert.That(SnowflakeErrors.Sort(error, Options()), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromMinutes(10)));
    }

    [Test]
    public async Task A_token_that_is_refused_once_is_made_anew()
    {
        _server.Tokens.Expired = 1;
        using var client = Client();
        await client.ExecuteAsync(Insert, default);
        Assert.That(await CountAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task What_nobody_waits_for_is_cancelled()
    {
        _server.Fault = _ => new SnowflakeFault { Polls = 100_000 };
        using var client = Client();
        using var cancelled = new CancellationTokenSource();
        var before = _server.Looks;
        var running = client.ExecuteAsync(Insert, cancelled.Token);
        await Eventually.TrueAsync(() => Task.FromResult(_server.Looks > before), "it is under way, and its handle is known");
        await cancelled.CancelAsync();
        Assert.That(async () => await running, Throws.InstanceOf<OperationCanceledException>());
        await Eventually.TrueAsync(() => Task.FromResult(!_server.Cancelled.IsEmpty), "it is cancelled");
        Assert.That(await CountAsync(), Is.Zero);
    }

    [TestCase("PUT file:///tmp/a @stage")]
    [TestCase("BEGIN TRANSACTION")]
    public async Task What_the_API_has_not_is_refused(string statement)
    {
        using var client = Client();
        Assert.That((await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync(statement, default)))!.Code, Is.EqualTo("391911"));
    }

    [Test]
    public async Task A_wrong_count_of_statements_is_refused()
    {
        using var client = Client();
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync("SELECT 1; SELECT 2", default)))!;
        Assert.That(error.Message, Is.EqualTo("Actual statement count 2 did not match the desired statement count 1."));
    }

    // What a user can meet, by the setting to change.
    [TestCase("private_key", "other", "private_key", "does not know exporter by this key")]
    [TestCase("access_token", "wrong", "access_token", "does not know exporter by this token")]
    [TestCase("oauth_token", "wrong", "oauth_token", "expired")]
    [TestCase("user", "nobody", "private_key", "LOGIN_NAME")]
    [TestCase("account", "other-account", "private_key", "URL is called")]
    [TestCase("role", "missing", "role", "There is no role MISSING")]
    [TestCase("warehouse", "missing", "warehouse", "No active warehouse")]
    public async Task What_is_wrong_with_a_setting_names_it(string setting, string value, string named, string sentence)
    {
        using var other = System.Security.Cryptography.RSA.Create(2048);
        var settings = value == "other" ? [(setting, (object?)other.ExportPkcs8PrivateKeyPem())]
            : setting.EndsWith("token", StringComparison.Ordinal) ? [("private_key", null), (setting, value)] : new (string, object?)[] { (setting, value) };
        using var client = Client(settings);
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync("SELECT 1 AS \"ONE\"", default)))!;
        var sorted = SnowflakeErrors.Sort(error, Options(settings))!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((ErrorKind.User, named)));
        Assert.That($"{sorted.Message} {sorted.Advice}", Does.Contain(sentence));
    }

    [Test]
    public async Task A_clock_that_is_wrong_is_named()
    {
        _server.Tokens.Skew = TimeSpan.FromMinutes(5);
        using var client = Client();
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync("SELECT 1 AS \"ONE\"", default)))!;
        Assert.That((error.Code, SnowflakeErrors.Sort(error, Options())!.Advice), Is.EqualTo(("394302", "Set this machine's clock.")));
    }

    [TestCase(408, ErrorKind.User, "timeout")]
    [TestCase(403, ErrorKind.User, "user")]
    [TestCase(404, ErrorKind.User, "account")]
    [TestCase(429, ErrorKind.Throttled, null)]
    [TestCase(500, ErrorKind.Transient, null)]
    [TestCase(400, ErrorKind.Bug, null)]
    public async Task A_status_says_who_acts(int status, ErrorKind kind, string? setting)
    {
        _server.Fault = _ => new SnowflakeFault { Status = status, RetryAfter = status == 429 ? "60" : null };
        using var client = Client();
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync(Insert, default)))!;
        var sorted = SnowflakeErrors.Sort(error, Options())!;
        Assert.That((sorted.Kind, sorted.Setting), Is.EqualTo((kind, setting)));
    }

    [Test]
    public async Task A_server_that_is_not_there_is_named()
    {
        using var nobody = Client(("host", "http://127.0.0.1:1"));
        var error = (await Assert.CatchAsync<SnowflakeException>(() => nobody.ExecuteAsync("SELECT 1", default)))!;
        Assert.That(SnowflakeErrors.Sort(error, Options(("host", "http://127.0.0.1:1"))), Has.Property("Kind").EqualTo(ErrorKind.Transient).And.Property("Message").Contains("127.0.0.1 cannot be reached"));

        using var unknown = Client(("host", "http://no.such.host.invalid"));
        error = (await Assert.CatchAsync<SnowflakeException>(() => unknown.ExecuteAsync("SELECT 1", default)))!;
        Assert.That(SnowflakeErrors.Sort(error, Options(("host", "http://no.such.host.invalid")))!.Message, Does.Contain("There is no host named no.such.host.invalid").And.Contain("Setting: account."));
    }

    [Test]
    public async Task A_secret_is_in_no_message()
    {
        using var client = Client(("copy_access_key", "AKIASECRET"), ("copy_secret_key", "sEcReT/key"));
        var error = (await Assert.CatchAsync<SnowflakeException>(() => client.ExecuteAsync("SELECT AKIASECRET FROM \"sEcReT/key\"", default)))!;
        Assert.That(error.ToString(), Does.Not.Contain("AKIASECRET").And.Not.Contain("sEcReT/key").And.Contain("***"));
    }

    private const string Table = "\"ANALYTICS\".\"PUBLIC\".\"COUNTED\"";
    private const string Insert = $"INSERT INTO {Table} (\"N\") SELECT 1";

    private (string, object?)[] Renewed =>
        [("private_key", null), ("oauth_refresh_token", _server.Tokens.RefreshToken), ("oauth_client_id", _server.Tokens.ClientId), ("oauth_client_secret", _server.Tokens.ClientSecret)];

    private (string, object?)[] Only(string setting) => setting switch
    {
        "access_token" => [("private_key", null), ("access_token", _server.Tokens.AccessToken)],
        "oauth_token" => [("private_key", null), ("oauth_token", _server.Tokens.OauthToken)],
        "oauth_refresh_token" => Renewed,
        _ => [],
    };

    private SnowflakeOptions Options(params (string, object?)[] settings) => DestinationOptions.Read<SnowflakeOptions>(_server.Configured(settings)).Validate();

    private SnowflakeClient Client(params (string, object?)[] settings) => new(Options(settings), TimeProvider.System, Pause);

    private async Task<int> CountAsync() => (await _server.ListAsync($"SELECT \"N\" FROM {Table}")).Count;
}
