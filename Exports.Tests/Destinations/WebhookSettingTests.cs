using System.Globalization;
using System.Net;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What can be set, what is refused by name, and what a check says.</summary>
public sealed class WebhookSettingTests
{
    private WebhookFixture _hook = null!;
    private WebhookServer _server = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _hook = await WebhookFixture.StartAsync();
        _server = _hook.Server;
    }

    [TearDown]
    public async Task EndAsync() => await _hook.DisposeAsync();

    [TestCase("169.254.169.254", false)]
    [TestCase("::ffff:169.254.169.254", false)]
    [TestCase("fe80::1", false)]
    [TestCase("fd00:ec2::254", false)]
    [TestCase("10.0.0.5", true)]
    [TestCase("127.0.0.1", true)]
    [TestCase("2001:db8::1", true)]
    public void Addresses_where_machines_keep_credentials_are_not_reached(string address, bool reached) =>
        Assert.That(WebhookReceiver.MayBeReached(IPAddress.Parse(address)), Is.EqualTo(reached));

    [Test]
    public async Task An_address_that_may_not_be_reached_is_refused_by_name()
    {
        await using var destination = _hook.Open(("url", "http://169.254.169.254/latest/meta-data"));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.Contain("Setting: url."));
    }

    [Test]
    public async Task A_check_passes_step_by_step_and_brings_no_rows()
    {
        await using var destination = _hook.Open();
        var results = await destination.CheckAsync(CancellationToken.None).ToListAsync();

        Assert.That(results.Select(result => result.Step), Is.EqualTo(new[] { "connect", "permissions", "write", "read back", "clean up" }));
        Assert.That(results, Has.All.Property(nameof(CheckResult.Ok)).True);
        Assert.That((_server.Calls.Count, _server.Rows().Count), Is.EqualTo((2, 0)));
    }

    [TestCase("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "permissions", "answered 401: no signature fits Setting: secret.")]
    [TestCase("url", "http://127.0.0.1:9/", "connect", "cannot be reached: Connection refused")]
    [TestCase("url", "http://127.0.0.1:PORT/silent", "permissions", "did not answer within 1 s.")]
    [TestCase("url", "http://127.0.0.1:PORT/nowhere", "permissions", "answered 404: as the test says Setting: url.")]
    public async Task A_check_says_in_a_sentence_what_is_wrong(string setting, string value, string step, string said)
    {
        var never = new TaskCompletionSource();
        _server.Fault = call => call.Path switch
        {
            "/silent" => new WebhookFault { Status = 200, Waits = never.Task },
            "/nowhere" => new WebhookFault { Status = 404 },
            _ => null,
        };
        await using var destination = _hook.Open((setting, value.Replace("PORT", _server.Address.Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)), ("timeout_seconds", 1));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];
        never.SetResult();

        Assert.That((last.Step, last.Ok), Is.EqualTo((step, false)));
        Assert.That(last.Detail, Does.Contain(said));
    }

    [TestCase("url", "ftp://example.com")]
    [TestCase("url", "")]
    [TestCase("url", "https://user:password@example.com")]
    [TestCase("url", "https://example.com https://example.com")]
    [TestCase("secret", "whsec_short")]
    [TestCase("secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [TestCase("body", "xml")]
    [TestCase("template", """{"a": {{rows}}""")]
    [TestCase("template", """{"a": {{something}}}""")]
    [TestCase("template", """{"a": 1}""")]
    [TestCase("template", """{"a": {{row}}}""")]
    [TestCase("headers", """["a"]""")]
    [TestCase("headers", """{"Webhook-Id":"mine"}""")]
    [TestCase("headers", """{"X":"a\r\nY: b"}""")]
    [TestCase("content_type", "json")]
    [TestCase("rejected", "ignore")]
    [TestCase("batch_rows", "0")]
    [TestCase("batch_bytes", "100")]
    [TestCase("concurrency", "65")]
    [TestCase("requests_per_second", "0")]
    [TestCase("timeout_seconds", "61")]
    public void A_setting_out_of_range_is_refused_by_name(string setting, string value)
    {
        var error = Assert.Throws<UserErrorException>(() => _hook.Open(
            (setting, int.TryParse(value, CultureInfo.InvariantCulture, out var number) ? number : value), ("body", setting == "template" ? "template" : setting == "body" ? value : "ndjson")));
        Assert.That(error!.Setting, Is.EqualTo(setting));
    }
}
