using System.Collections.Concurrent;
using System.Text;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using static Exporter.Exports.Tests.Destinations.WebhookFixture;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>How far each receiver is with a slice, what of it is sent again, and what is put aside.</summary>
public sealed class WebhookOffsetTests
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

    [Test]
    public async Task The_next_attempt_goes_on_after_the_last_message_that_was_acknowledged()
    {
        var progress = new KeptProgress();
        _server.Fault = call => call.Number >= 5 ? new WebhookFault { Status = 503, Takes = call.Number == 5, RetryAfter = "60" } : null;
        await using (var destination = _hook.Open(("batch_rows", 10), ("in_order", true)))
        {
            Assert.That(() => ExportAsync(destination, Slice(progress: progress), rows: 100), Throws.TypeOf<WebhookAnswerException>());
        }

        Assert.That(progress.Offsets.Single(), Is.EqualTo(new DeliveryOffset(_server.Address.ToString(), 5, 50)));
        _server.Fault = _ => null;
        var before = _server.Calls.Select(call => call.Id).ToList();
        var receipt = await ExportAsync(_hook.Open(("batch_rows", 10), ("in_order", true)), Slice(attempt: 2, progress: progress), rows: 100);

        Assert.That((receipt.Rows, progress.Offsets.Single().Rows), Is.EqualTo((100L, 100L)));
        Assert.That(_server.Rows(), Is.EqualTo(Rows(0, 100)));
        Assert.That(_server.Calls.Skip(6).First().Id, Is.EqualTo(before[5]), "the one nobody knew of comes again under its id");
        Assert.That((_server.Calls.Count, _server.Repeats, _server.Conflicts), Is.EqualTo((11, 1, 0)));
    }

    [Test]
    public async Task What_is_about_to_be_sent_is_written_down_before_and_what_was_acknowledged_after()
    {
        var progress = new KeptProgress();
        var seen = new List<string>();
        _server.Fault = call =>
        {
            seen.Add($"{progress.Offsets[0].Messages} {progress.Last!.Contains("\"done\":false", StringComparison.Ordinal)}");
            return null;
        };
        await ExportAsync(_hook.Open(("batch_rows", 10), ("in_order", true)), Slice(progress: progress), rows: 30);

        Assert.That(seen, Is.EqualTo(new[] { "0 True", "1 True", "2 True" }));
        Assert.That(progress.Offsets[0].Messages, Is.EqualTo(3));
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Bytes_are_counted_that_a_receiver_has_answered_and_of_these_what_no_attempt_sends_again(bool gzip)
    {
        _server.Fault = call => call.Number is 1 or >= 4 ? new WebhookFault { Status = 503 } : null;
        await using var destination = _hook.Open(("batch_rows", 10), ("in_order", true), ("gzip", gzip));
        await using var sink = await destination.OpenSliceAsync(Slice(progress: new KeptProgress()), SliceRows.Schema, CancellationToken.None);
        Assert.That(() => ExportAsync(sink, rows: 40), Throws.TypeOf<WebhookAnswerException>());

        // The second message twice, and the fourth three times in vain.
        var calls = _server.Calls.Select(call => (long)call.Body.Length).ToList();
        Assert.That((calls.Count, sink.BytesSent, sink.BytesKept), Is.EqualTo((7, calls.Sum(), calls[0] + calls[2] + calls[3])));

        _server.Fault = _ => null;
        await using var next = await destination.OpenSliceAsync(Slice(), SliceRows.Schema, CancellationToken.None);
        var receipt = await ExportAsync(next, rows: 40);
        Assert.That((next.BytesSent, next.BytesKept), Is.EqualTo((_server.Calls.Skip(7).Sum(call => (long)call.Body.Length), next.BytesSent)));
        Assert.That(receipt.Bytes, gzip ? Is.Not.EqualTo(next.BytesSent) : Is.EqualTo(next.BytesSent), "before compression");
    }

    [Test]
    public async Task Rows_that_changed_since_a_message_was_delivered_stop_the_run_and_nothing_more_is_sent()
    {
        var progress = new KeptProgress();
        _server.Fault = call => call.Number >= 5 ? new WebhookFault { Status = 503, RetryAfter = "60" } : null;
        await using var first = _hook.Open(("batch_rows", 10), ("in_order", true));
        Assert.That(() => ExportAsync(first, Slice(progress: progress), rows: 100), Throws.TypeOf<WebhookAnswerException>());
        _server.Fault = _ => null;

        foreach (var (from, rows) in new[] { (1, 100), (0, 40), (0, 55) })
        {
            await using var destination = _hook.Open(("batch_rows", 10), ("in_order", true));
            var error = await Assert.ThrowsAsync<UserErrorException>(() => ExportAsync(destination, Slice(attempt: 2, progress: progress), rows, from));
            Assert.That(error!.Setting, Is.EqualTo("settle_delay"));
        }

        await using var other = _hook.Open(("batch_rows", 20), ("in_order", true));
        var layout = await Assert.ThrowsAsync<UserErrorException>(() => ExportAsync(other, Slice(attempt: 2, progress: progress), rows: 100));
        Assert.That((layout!.Setting, layout.Advice.Contains("10 and 1048576", StringComparison.Ordinal)), Is.EqualTo(("batch_rows", true)));
        Assert.That(_server.Calls, Has.Count.EqualTo(6));
    }

    [Test]
    public async Task Each_url_has_its_own_offset_and_one_that_fails_holds_no_other_up()
    {
        var progress = new KeptProgress();
        var urls = $"{_server.Url("/a")} {_server.Url("/b")}";
        _server.Fault = call => call.Path == "/b" && _server.Rows("/b").Count >= 30 ? new WebhookFault { Status = 503, RetryAfter = "60" } : null;
        await using (var destination = _hook.Open(("url", urls), ("batch_rows", 10)))
        {
            Assert.That(() => ExportAsync(destination, Slice(progress: progress), rows: 100), Throws.TypeOf<WebhookAnswerException>());
        }

        Assert.That(_server.Rows("/a"), Is.EquivalentTo(Rows(0, 100)));
        _server.Fault = _ => null;
        var callsOfA = _server.Calls.Count(call => call.Path == "/a");
        await ExportAsync(_hook.Open(("url", urls), ("batch_rows", 10)), Slice(attempt: 2, progress: progress), rows: 100);

        Assert.That(_server.Rows("/b"), Is.EquivalentTo(Rows(0, 100)));
        Assert.That(_server.Calls.Count(call => call.Path == "/a"), Is.EqualTo(callsOfA), "it got nothing again");
        Assert.That(progress.Offsets.Select(offset => (offset.Receiver, offset.Rows)), Is.EquivalentTo(new[] { (_server.Url("/a").ToString(), 100L), (_server.Url("/b").ToString(), 100L) }));
    }

    [Test]
    public async Task A_message_that_is_refused_is_kept_aside_with_its_reason_and_the_others_go_on()
    {
        var progress = new KeptProgress();
        _server.Fault = call => call.Body.AsSpan().IndexOf("row 25\""u8) >= 0 ? new WebhookFault { Status = 422 } : null;
        var receipt = await ExportAsync(_hook.Open(("batch_rows", 10), ("rejected", "dead_letter")), Slice(progress: progress), rows: 100);

        var letter = progress.DeadLetters.Single();
        Assert.That((receipt.Rows, _server.Rows().Count), Is.EqualTo((100L, 90)));
        Assert.That((letter.Number, letter.Rows, letter.Status, letter.Reason), Is.EqualTo((2, 10, 422, $"{_server.Address} answered 422: as the test says")));
        Assert.That(Encoding.UTF8.GetString(letter.Body.Span).Split('\n')[..10], Is.EqualTo(Rows(20, 10)));

        _server.Fault = _ => null;
        await using var destination = _hook.Open();
        await destination.ResendAsync(letter.ReceiverKey, letter.MessageId, letter.Body, CancellationToken.None);
        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 100)));
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task A_connection_that_breaks_before_or_after_the_rows_are_taken_leaves_them_there_once(bool taken)
    {
        var broken = new ConcurrentDictionary<string, bool>();
        _server.Fault = call => call.Number % 3 == 1 && broken.TryAdd(call.Id, true) ? new WebhookFault { Takes = taken } : null;
        await ExportAsync(_hook.Open(("batch_rows", 10)), Slice(), rows: 100);

        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 100)));
        Assert.That((_server.Conflicts, _server.Repeats > 0), Is.EqualTo((0, taken)));
    }
}
