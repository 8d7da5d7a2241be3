using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Azure.Storage.Sas;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Destinations;
using Npgsql;

namespace Exporter.Exports.Tests.Cli;

/// <summary>A destination is tried before it is created; what is wrong is one sentence that names the setting, and nothing is created.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class DestinationTrialTests
{
    private readonly string _secret = WebhookServer.NewSecret();
    private CliServers _servers = null!;
    private LocalS3 _s3 = null!;
    private S3Recorder _amazon = null!;
    private LocalAzurite _azurite = null!;
    private WebhookServer _hook = null!;
    private TcpListener _silent = null!;
    private string _bucket = "";
    private string _closed = "";
    private string _container = "";

    private NpgsqlConnectionStringBuilder Postgres => new(_servers.Postgres);

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(rows: 1);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
        _s3 = await TestServers.S3Async();
        _bucket = await _s3.CreateBucketAsync();
        _closed = await _s3.CreateBucketAsync();
        using (var client = _s3.CreateClient())
        {
            await client.PutBucketPolicyAsync(new()
            {
                BucketName = _closed,
                Policy = $$"""{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": ["arn:aws:s3:::{{_closed}}/*"]}]}""",
            });
        }

        _amazon = await S3Recorder.StartAsync();
        _amazon.Answer = _ => (400, "Content-Type: application/xml", "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region></Error>");
        _azurite = await TestServers.AzuriteAsync();
        _container = await _azurite.CreateContainerAsync();
        _silent = new TcpListener(IPAddress.Loopback, 0);
        _silent.Start();
        await _servers.AskAsync("create schema closed; create table public.frozen (id bigint)");
        _hook = await WebhookServer.StartAsync(_secret);
        _hook.Fault = call => call.Path == "/gone" ? new WebhookFault { Status = 410 } : call.Path == "/silent" ? new WebhookFault { Waits = Task.Delay(Timeout.Infinite) } : null;
    }

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await _hook.DisposeAsync();
        await _amazon.DisposeAsync();
        _silent.Dispose();
        await _servers.DisposeAsync();
    }

    [TestCase("s3 d --bucket {bucket} --endpoint {s3} {keys}", "Setting: access_key.", "testsecret", "nobody")]
    [TestCase("s3 d --bucket {bucket} --endpoint {s3} {keys}", "Setting: secret_key.", "wrong")]
    [TestCase("s3 d --bucket nowhere --endpoint {s3} {keys}", "There is no bucket nowhere at {s3}. Setting: bucket.", "testsecret")]
    [TestCase("s3 d --bucket {closed} --endpoint {s3} {keys}", "The access key may not do this in bucket {closed}", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint {amazon} {keys}", "Setting: region.", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint http://127.0.0.1:9 {keys}", "http://127.0.0.1:9 cannot be reached: Connection refused", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint http://127.0.0.1:{silent} --timeout-seconds 1 {keys}", "http://127.0.0.1:{silent} did not answer in time.", "testsecret")]
    [TestCase("s3 d --bucket {bucket} --endpoint {hook} --timeout-seconds 1 {keys}", "Setting: endpoint.", "testsecret")]
    [TestCase("azure-blob d --container {container} {azure} --endpoint {azurite}", "Setting: account_key.", "d3Jvbmc=")]
    [TestCase("azure-blob d --container nowhere {azure} --endpoint {azurite}", "There is no container nowhere at {azurite}. Setting: container.", "{account_key}")]
    [TestCase("azure-blob d --container {container} --account {account} --sas-token-env TRIAL_SECRET --endpoint {azurite}", "Setting: sas_token. Allow to read, add, create, write, delete and list", "{signature}")]
    [TestCase("azure-blob d --container {container} {azure} --endpoint http://127.0.0.1:{silent} --timeout-seconds 1", "http://127.0.0.1:{silent} did not answer in time.", "{account_key}")]
    [TestCase("postgres d {postgres} --port {port} --database {database}", "refuses the password of {user}. Setting: password.", "wrong")]
    [TestCase("postgres d {postgres} --port {port} --database nowhere", "There is no database nowhere at {host}:{port}. Setting: database.", "{password}")]
    [TestCase("postgres d {postgres} --port {port} --database {database} --schema closed", "{user} may not use schema closed. Setting: username. As an owner: grant usage", "{password}")]
    [TestCase("postgres d {postgres} --port {port} --database {database} --table frozen", "{user} may not insert into public.frozen. Setting: username. As an owner: grant select, insert", "{password}")]
    [TestCase("postgres d {postgres} --port {silent} --database {database} --connect-timeout 1", "{host}:{silent} did not answer in time.", "{password}")]
    [TestCase("files d --root /sys", "Writing is not permitted.")]
    [TestCase("webhook d --url {hook} --secret-env TRIAL_SECRET", "answered 401: no signature fits Setting: secret.", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [TestCase("webhook d --url {hook}gone --secret-env TRIAL_SECRET", "answered 410", "{secret}")]
    [TestCase("webhook d --url {hook}silent --timeout-seconds 1 --secret-env TRIAL_SECRET", "did not answer within 1 s.", "{secret}")]
    [TestCase("webhook d --url http://127.0.0.1:9/ --secret-env TRIAL_SECRET", "cannot be reached: Connection refused", "{secret}")]
    public async Task What_is_wrong_is_one_sentence_and_nothing_is_created(string arguments, string said, string secret = "", string key = "testkey")
    {
        var call = new CliCall { Environment = { ["TRIAL_KEY"] = key, ["TRIAL_SECRET"] = Filled(secret) } };
        var result = await _servers.Cli.RunAsync(call, ["destination", "create", .. Filled(arguments).Split(' ')]);

        await ExpectOneSentenceAsync(result, said);
    }

    // A file system of 16 KiB, where this user may mount one; and a limit on the size of a file, which everybody may set.
    [Test]
    [Platform("Linux")]
    public async Task A_full_disk_is_one_sentence_and_nothing_is_created()
    {
        var root = Directory.CreateDirectory(Path.Combine(_servers.Folder, "full")).FullName;
        var mount = $"mount -t tmpfs -o size=16k tmpfs {root}";
        if (await SucceedsAsync("unshare", "--mount", "sh", "-c", mount))
        {
            await ExpectAsync("The disk is full.", "unshare", "--mount", "sh", "-c", mount + " && exec \"$0\" \"$@\"");
        }

        await ExpectAsync("refuses a file as large as this slice.", "sh", "-c", "trap '' XFSZ && ulimit -f 16 && exec \"$0\" \"$@\"");

        // .NET's own memory is such a file, unless it is told otherwise.
        async Task ExpectAsync(string said, params string[] shell)
        {
            var call = new CliCall { Shell = shell, Environment = { ["DOTNET_EnableWriteXorExecute"] = "0" } };
            var result = await _servers.Cli.RunAsync(call, "destination", "create", "files", "d", "--root", root);
            await ExpectOneSentenceAsync(result, said);
            Assert.That(result.Error, Does.Contain("Setting: root."));
        }
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

    private async Task ExpectOneSentenceAsync(CliResult result, string said)
    {
        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")), result.Error);
        Assert.That(result.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1), result.Error);
        Assert.That(result.Error, Does.Contain(Filled(said)));
        foreach (var secret in new[] { _secret, "testsecret", LocalAzurite.AccountKey, _servers.PostgresPassword })
        {
            Assert.That(result.Error, Does.Not.Contain(secret));
        }

        Assert.That(await _servers.AskAsync("select name from exports.destinations where name = 'd'"), Is.Empty);
    }

    private static async Task<bool> SucceedsAsync(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            await process.WaitForExitAsync();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private string ReadingSignature() => _azurite.Client().GetBlobContainerClient(_container)
        .GenerateSasUri(BlobContainerSasPermissions.Read | BlobContainerSasPermissions.List, TimeProvider.System.GetUtcNow().AddDays(1)).Query;

    private string Filled(string text) => text
        .Replace("{keys}", "--access-key-env TRIAL_KEY --secret-key-env TRIAL_SECRET", StringComparison.Ordinal)
        .Replace("{azure}", $"--account {LocalAzurite.Account} --account-key-env TRIAL_SECRET", StringComparison.Ordinal)
        .Replace("{postgres}", "--host {host} --username {user} --ssl-mode disable --password-env TRIAL_SECRET", StringComparison.Ordinal)
        .Replace("{host}", Postgres.Host, StringComparison.Ordinal)
        .Replace("{closed}", _closed, StringComparison.Ordinal)
        .Replace("{account}", LocalAzurite.Account, StringComparison.Ordinal)
        .Replace("{signature}", ReadingSignature(), StringComparison.Ordinal)
        .Replace("{user}", Postgres.Username, StringComparison.Ordinal)
        .Replace("{password}", Postgres.Password, StringComparison.Ordinal)
        .Replace("{database}", Postgres.Database, StringComparison.Ordinal)
        .Replace("{port}", Postgres.Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("{silent}", ((IPEndPoint)_silent.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("{account_key}", LocalAzurite.AccountKey, StringComparison.Ordinal)
        .Replace("{azurite}", _azurite.Endpoint.ToString(), StringComparison.Ordinal)
        .Replace("{container}", _container, StringComparison.Ordinal)
        .Replace("{amazon}", _amazon.Address.ToString(), StringComparison.Ordinal)
        .Replace("{bucket}", _bucket, StringComparison.Ordinal)
        .Replace("{s3}", _s3.Endpoint.ToString(), StringComparison.Ordinal)
        .Replace("{hook}", _hook.Address.ToString(), StringComparison.Ordinal)
        .Replace("{secret}", _secret, StringComparison.Ordinal);
}
