using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Destinations;

namespace Exporter.Exports.Tests.Cli;

/// <summary>A destination is tried before it is created; what is wrong is one sentence that names the setting, and nothing is created.</summary>
internal sealed class DestinationTrialTests
{
    private readonly string _secret = WebhookServer.NewSecret();
    private CliServers _servers = null!;
    private LocalS3 _s3 = null!;
    private WebhookServer _hook = null!;
    private string _bucket = "";

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(rows: 1);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
        _s3 = await TestServers.S3Async();
        _bucket = await _s3.CreateBucketAsync();
        _hook = await WebhookServer.StartAsync(_secret);
        _hook.Fault = call => call.Path == "/gone" ? new WebhookFault { Status = 410 } : call.Path == "/silent" ? new WebhookFault { Waits = Task.Delay(Timeout.Infinite) } : null;
    }

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await _hook.DisposeAsync();
        await _servers.DisposeAsync();
    }

    [TestCase("s3 d --bucket {bucket} --endpoint {s3}", "Setting: access_key.", "nobody", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint {s3}", "Setting: secret_key.", "testkey", "wrong")]
    [TestCase("s3 d --bucket nowhere --endpoint {s3}", "There is no bucket nowhere at {s3}. Setting: bucket.", "testkey", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached: Connection refused", "testkey", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint {hook} --timeout-seconds 1", "Setting: endpoint.", "testkey", "testsecret")]
    [TestCase("files d --root /sys", "Writing is not permitted.", "", "")]
    [TestCase("webhook d --url {hook}", "answered 401: no signature fits Setting: secret.", "", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [TestCase("webhook d --url {hook}gone", "answered 410", "", "{secret}")]
    [TestCase("webhook d --url {hook}silent --timeout-seconds 1", "did not answer within 1 s.", "", "{secret}")]
    [TestCase("webhook d --url http://127.0.0.1:9/", "cannot be reached: Connection refused", "", "{secret}")]
    public async Task What_is_wrong_is_one_sentence_and_nothing_is_created(string arguments, string said, string key, string secret)
    {
        var words = Filled(arguments).Split(' ').ToList();
        if (key.Length > 0)
        {
            words.AddRange(["--access-key-env", "TRIAL_KEY", "--secret-key-env", "TRIAL_SECRET"]);
        }
        else if (secret.Length > 0)
        {
            words.AddRange(["--secret-env", "TRIAL_SECRET"]);
        }

        var call = new CliCall { Environment = { ["TRIAL_KEY"] = key, ["TRIAL_SECRET"] = Filled(secret) } };
        var result = await _servers.Cli.RunAsync(call, ["destination", "create", .. words]);

        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")), result.Error);
        Assert.That(result.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1), result.Error);
        Assert.That(result.Error, Does.Contain(Filled(said)).And.Not.Contain(_secret).And.Not.Contain("testsecret"));
        Assert.That(await _servers.AskAsync("select name from exports.destinations where name = 'd'"), Is.Empty);
    }

    [Test]
    public async Task Without_keys_those_of_the_machine_are_used()
    {
        var call = new CliCall { Environment = { ["AWS_ACCESS_KEY_ID"] = _s3.AccessKey, ["AWS_SECRET_ACCESS_KEY"] = _s3.SecretKey } };
        _ = (await _servers.Cli.RunAsync(call, "destination", "create", "s3", "by-machine", "--bucket", _bucket, "--endpoint", _s3.Endpoint.ToString())).Answer;

        call = new CliCall { Environment = { ["AWS_EC2_METADATA_DISABLED"] = "true" } };
        var result = await _servers.Cli.RunAsync(call, "destination", "test", "by-machine");
        Assert.That(result.Status, Is.Not.Zero);
        Assert.That(result.Out + result.Error, Does.Contain("No access key was found").And.Contain("Setting: access_key."));
    }

    // The chain's own way to a role: a profile that names it, with keys of another profile.
    [Test]
    public async Task A_role_of_the_machines_profile_is_assumed_with_its_external_id()
    {
        await using var sts = await S3Recorder.StartAsync(_s3.Endpoint);
        sts.Answer = request => request.Text.Contains("Action=AssumeRole", StringComparison.Ordinal)
            ? (200, "Content-Type: text/xml",
                $"""
                <AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
                <AccessKeyId>{_s3.AccessKey}</AccessKeyId><SecretAccessKey>{_s3.SecretKey}</SecretAccessKey><SessionToken>token</SessionToken>
                <Expiration>2090-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>
                """)
            : null;
        var profiles = Path.Combine(_servers.Folder, "aws-config");
        await File.WriteAllTextAsync(
            profiles,
            """
            [profile base]
            aws_access_key_id = basekey
            aws_secret_access_key = basesecret
            [profile exports]
            role_arn = arn:aws:iam::123456789012:role/exports
            external_id = e-1
            source_profile = base
            region = us-east-1
            """);
        var call = new CliCall
        {
            Environment = { ["AWS_CONFIG_FILE"] = profiles, ["AWS_PROFILE"] = "exports", ["AWS_REGION"] = "us-east-1", ["AWS_ENDPOINT_URL_STS"] = sts.Address.ToString() },
        };
        var result = await _servers.Cli.RunAsync(call, "destination", "create", "s3", "by-role", "--bucket", _bucket, "--endpoint", _s3.Endpoint.ToString());

        var assumed = sts.Requests.SingleOrDefault(request => request.Text.Contains("Action=AssumeRole", StringComparison.Ordinal));
        Assert.That(assumed?.Text, Does.Contain("ExternalId=e-1").And.Contain("role%2Fexports"), result.Error);
        Assert.That(assumed!.Header("authorization"), Does.Contain("Credential=basekey/"));
    }

    private string Filled(string text) => text
        .Replace("{bucket}", _bucket, StringComparison.Ordinal)
        .Replace("{s3}", _s3.Endpoint.ToString(), StringComparison.Ordinal)
        .Replace("{hook}", _hook.Address.ToString(), StringComparison.Ordinal)
        .Replace("{secret}", _secret, StringComparison.Ordinal);
}
