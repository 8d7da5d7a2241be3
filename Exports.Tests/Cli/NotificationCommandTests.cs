using System.Text.Json.Nodes;
using Exporter.Exports.Tests.Destinations;
using Exporter.Exports.Tests.Notifications;

namespace Exporter.Exports.Tests.Cli;

/// <summary>Targets as an operator makes, tries and deletes them, with a real receiver and a real mail server.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class NotificationCommandTests
{
    private readonly string _secret = WebhookServer.NewSecret();
    private readonly string _folder = Directory.CreateTempSubdirectory("exporter-mail-").FullName;
    private CliServers _servers = null!;
    private WebhookServer _hook = null!;
    private SmtpReceiver _mail = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(rows: 1);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
        _hook = await WebhookServer.StartAsync(_secret);
        _mail = SmtpReceiver.Start(_folder);
    }

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await _hook.DisposeAsync();
        await _mail.DisposeAsync();
        await _servers.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public async Task A_url_is_told_in_signed_messages_and_no_secret_is_seen_again()
    {
        var call = new CliCall { Environment = { ["HOOK_URL"] = _hook.Url("/a-secret-path").ToString(), ["HOOK_SECRET"] = _secret } };
        var created = await _servers.Cli.RunAsync(call, "notification", "create", "chat", "--url-env", "HOOK_URL", "--secret-env", "HOOK_SECRET", "--on", "failed", "--on", "late");
        Assert.That(created.Answer, Is.EqualTo("chat is told of failed, late. Try it: exporter notification test chat\n"));
        Assert.That((await _servers.Cli.RunAsync("notification", "test", "chat")).Answer, Is.EqualTo($"A trial went to {_hook.Address.ToString().TrimEnd('/')}.\n"));
        var message = JsonNode.Parse(_hook.Calls.Single(one => one.Path == "/a-secret-path").Body)!;
        Assert.That((string?)message["type"], Is.EqualTo("batch_export.trial"));

        var list = (await _servers.Cli.RunAsync("notification", "list", "--json")).Answer;
        var audit = (await _servers.Cli.RunAsync("audit", "list", "--json")).Answer;
        var search = new SecretSearch(_secret, "a-secret-path");
        Assert.That(search.In("list", list).Concat(search.In("audit", audit)).Concat(await search.InTablesAsync(_servers)), Is.Empty);
        Assert.That((await _servers.Cli.RunAsync("notification", "delete", "chat")).Answer, Is.EqualTo("chat is told no more.\n"));
        Assert.That((await _servers.Cli.RunAsync("notification", "list")).Answer, Does.Not.Contain("chat"));
    }

    [Test]
    public async Task A_secret_that_was_not_given_is_made_and_shown_once()
    {
        var created = JsonNode.Parse((await _servers.Cli.RunAsync("notification", "create", "made", "--url", _hook.Url("/made").ToString(), "--json")).Answer)!;
        Assert.That((string?)created["secret"], Does.StartWith("whsec_"));
        var refused = await _servers.Cli.RunAsync("notification", "test", "made");
        Assert.That(refused.Status, Is.EqualTo(2));
        Assert.That(refused.Error, Does.Contain("answered 401: no signature fits").And.Contain("Compare the secret").And.Not.Contain((string?)created["secret"]));
    }

    [TestCase(SmtpReceiver.Password, true, "ops@example.com", null, TestName = "Mail_goes_out_by_a_server_that_wants_a_login")]
    [TestCase("another-password", true, "ops@example.com", "Correct smtp_user and smtp_password.", TestName = "A_wrong_password_of_mail_is_named")]
    [TestCase(SmtpReceiver.Password, false, "ops@example.com", "certificate is not trusted, or it speaks no TLS there.", TestName = "A_certificate_that_nobody_trusts_is_named")]
    [TestCase(SmtpReceiver.Password, true, "ops@elsewhere.org", "does not take mail to ops@elsewhere.org", TestName = "A_receiver_that_is_not_taken_is_named")]
    public async Task Mail_is_tried(string password, bool trusted, string receiver, string? said)
    {
        var name = "mail-" + Guid.NewGuid().ToString("N");
        _ = (await _servers.Cli.RunAsync("notification", "create", name, "--email", receiver)).Answer;
        var before = _mail.Mail.Count;
        var call = new CliCall
        {
            Environment =
            {
                ["EXPORTER_SMTP_HOST"] = "127.0.0.1",
                ["EXPORTER_SMTP_PORT"] = $"{_mail.Port}",
                ["EXPORTER_SMTP_FROM"] = "exporter@example.com",
                ["EXPORTER_SMTP_USER"] = SmtpReceiver.User,
                ["EXPORTER_SMTP_PASSWORD"] = password,
                ["SSL_CERT_FILE"] = trusted ? _mail.CertificateFile : null,
            },
        };
        var result = await _servers.Cli.RunAsync(call, "notification", "test", name);
        if (said is null)
        {
            Assert.That(result.Answer, Is.EqualTo($"A trial went to {receiver}.\n"));
            Assert.That(_mail.Mail.Last().Subject, Is.EqualTo("Exporter can reach you"));
            return;
        }

        Assert.That((result.Status, result.Out, result.Error.TrimEnd().Split('\n').Length), Is.EqualTo((2, "", 1)), result.Error);
        Assert.That(result.Error, Does.Contain(said).And.Not.Contain(password));
        Assert.That(_mail.Mail, Has.Count.EqualTo(before));
    }

    [TestCase("x", "A target has either a url or receivers of email. Give --url")]
    [TestCase("x --email nobody", "\"nobody\" is no address of mail.")]
    [TestCase("x --email a@example.com --on fire", "There is nothing named \"fire\" to be told of.")]
    [TestCase("x --email a@example.com --export nothing", "There is no batch export named \"nothing\".")]
    [TestCase("x --email a@example.com --url http://127.0.0.1:1/", "A target has either a url or receivers of email.")]
    [TestCase("x --url ftp://127.0.0.1/", "is no URL.")]
    [TestCase("-x --email a@example.com", "")]
    [TestCase("x/y --email a@example.com", "\"x/y\" cannot be a name.")]
    public async Task What_is_wrong_is_one_sentence(string arguments, string said)
    {
        var result = await _servers.Cli.RunAsync(["notification", "create", .. arguments.Split(' ')]);
        Assert.That((result.Status, result.Out), Is.EqualTo((2, "")), result.Error);
        Assert.That(result.Error, Does.Contain(said));
    }

    [Test]
    public async Task Without_a_server_mail_is_refused_and_the_setting_named()
    {
        _ = (await _servers.Cli.RunAsync("notification", "create", "unsent", "--email", "ops@example.com")).Answer;
        var result = await _servers.Cli.RunAsync("notification", "test", "unsent");
        Assert.That(result.Status, Is.EqualTo(2));
        Assert.That(result.Error, Does.Contain("Set EXPORTER_SMTP_HOST"));
    }
}
