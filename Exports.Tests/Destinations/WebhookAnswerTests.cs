using System.Globalization;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using static Exporter.Exports.Tests.Destinations.WebhookFixture;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What a receiver may answer, and how fast and in which order it is asked.</summary>
public sealed class WebhookAnswerTests
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

    [TestCase(408, null)]
    [TestCase(425, null)]
    [TestCase(429, null)]
    [TestCase(500, null)]
    [TestCase(503, "1")]
    [TestCase(429, "1")]
    [TestCase(429, "date")]
    public async Task An_answer_that_passes_is_tried_again_after_the_wait_that_was_asked_for(int status, string? wait)
    {
        // A date has whole seconds, so two of them are one at least.
        var retryAfter = wait == "date" ? TimeProvider.System.GetUtcNow().AddSeconds(2).ToString("r", CultureInfo.InvariantCulture) : wait;
        _server.Fault = call => call.Number == 0 ? new WebhookFault { Status = status, RetryAfter = retryAfter } : null;
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await ExportAsync(_hook.Open(), Slice(), rows: 3);

        Assert.That(_server.Rows(), Is.EqualTo(Rows(0, 3)));
        Assert.That(_server.Calls.Select(call => call.Id).Distinct().Count(), Is.EqualTo(1));
        Assert.That(clock.Elapsed.TotalSeconds, Is.GreaterThan(wait is null ? 0.3 : 0.95));
    }

    [TestCase("120", 120)]
    [TestCase("99999999999", 24 * 3600)]
    public async Task A_long_wait_is_left_to_the_run_and_holds_for_every_slice_of_it(string wait, int seconds)
    {
        _server.Fault = _ => new WebhookFault { Status = 429, RetryAfter = wait };
        await using var destination = _hook.Open();
        var error = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice(), rows: 3));
        var again = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice() with { Slice = 1 }, rows: 3));

        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromSeconds(seconds)));
        Assert.That(destination.Classify(again!)!.RetryAfter!.Value.TotalSeconds, Is.EqualTo(seconds).Within(10));
        Assert.That(_server.Calls, Has.Count.EqualTo(1), "nobody asked again");
    }

    [TestCase(400, "rejected", false)]
    [TestCase(401, "secret", false)]
    [TestCase(404, "url", false)]
    [TestCase(410, "url", true)]
    [TestCase(413, "batch_bytes", false)]
    [TestCase(415, "content_type", false)]
    public async Task A_refusal_stops_the_run_and_names_the_setting(int status, string setting, bool pauses)
    {
        _server.Fault = _ => new WebhookFault { Status = status };
        await using var destination = _hook.Open();
        var error = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice(), rows: 1));
        var sorted = destination.Classify(error!)!;

        Assert.That((sorted.Kind, sorted.Setting, sorted.PausesExport), Is.EqualTo((ErrorKind.User, setting, pauses)));
        Assert.That(_server.Calls, Has.Count.EqualTo(1), "it was not tried again");
    }

    [Test]
    public async Task A_redirect_is_not_followed()
    {
        await using var elsewhere = await WebhookServer.StartAsync(_hook.Secret);
        _server.Fault = _ => new WebhookFault { Status = 307, Location = elsewhere.Address.ToString() };
        await using var destination = _hook.Open();
        var error = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice(), rows: 1));

        Assert.That(destination.Classify(error!), Has.Property("Setting").EqualTo("url").And.Property("Advice").Contains("not followed"));
        Assert.That(elsewhere.Calls, Is.Empty);
    }

    [Test]
    public async Task No_more_requests_a_second_are_made_than_asked_for()
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await ExportAsync(_hook.Open(("requests_per_second", 20), ("batch_rows", 1), ("concurrency", 16)), Slice(), rows: 16);

        Assert.That(clock.Elapsed.TotalSeconds, Is.GreaterThan(15 / 20.0 * 0.99).And.LessThan(5));
    }

    [Test]
    public async Task As_many_messages_are_on_their_way_at_once_as_asked_for_and_no_more_over_all_slices()
    {
        var four = new TaskCompletionSource();
        _server.Fault = call =>
        {
            if (call.Number == 3)
            {
                four.SetResult();
            }

            // Nobody is answered before the fourth has come.
            return new WebhookFault { Status = 200, Takes = true, Waits = four.Task };
        };
        await using var destination = _hook.Open(("batch_rows", 10), ("concurrency", 4));
        await Task.WhenAll(
            ExportAsync(destination, Slice(), rows: 100), ExportAsync(destination, Slice() with { Slice = 1 }, rows: 100, from: 100));

        Assert.That(_server.MostAtOnce, Is.EqualTo(4));
        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 200)));
    }

    [Test]
    public async Task In_order_rows_come_one_message_after_another()
    {
        await using var destination = _hook.Open(("batch_rows", 7), ("in_order", true));
        await ExportAsync(destination, Slice(), rows: 100);

        Assert.That((_server.Rows(), _server.MostAtOnce, destination.Order), Is.EqualTo((Rows(0, 100), 1, RowOrder.InRun)));
    }
}
