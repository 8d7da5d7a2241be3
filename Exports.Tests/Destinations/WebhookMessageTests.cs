using System.Text;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;
using static Exporter.Exports.Tests.Destinations.WebhookFixture;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>What a message is: its signature, its id, its rows and its body.</summary>
public sealed class WebhookMessageTests
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

    // The example of the specification.
    [Test]
    public void A_signature_is_the_one_of_standard_webhooks() => Assert.That(
        new WebhookSignature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").Of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}"u8),
        Is.EqualTo("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));

    [Test]
    public async Task Every_row_arrives_once_in_signed_messages_of_bounded_size()
    {
        var receipt = await ExportAsync(_hook.Open(("batch_rows", 30)), Slice(), rows: 100);

        Assert.That((receipt.Rows, receipt.File), Is.EqualTo((100L, (string?)null)));
        Assert.That(receipt.Bytes, Is.EqualTo(_server.Calls.Sum(call => call.Body.Length)));
        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 100)));
        Assert.That(_server.Calls, Has.Count.EqualTo(4));
        Assert.That(_server.Refused, Is.Empty);
    }

    [Test]
    public async Task A_message_has_no_more_bytes_than_it_may_unless_it_is_one_row()
    {
        await using var destination = _hook.Open(("batch_bytes", 1_024), ("in_order", true));
        await using var sink = await destination.OpenSliceAsync(Slice(), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(sink, new string('a', 500), new string('b', 400), new string('c', 200), new string('d', 5_000), "e");
        await sink.CommitAsync(CancellationToken.None);

        Assert.That(_server.Calls.Select(call => call.Body.Count(letter => letter == '\n')), Is.EqualTo(new[] { 2, 1, 1, 1 }));
        Assert.That(_server.Rows(), Has.Count.EqualTo(5));
    }

    [Test]
    public async Task However_rows_come_in_batches_the_messages_and_their_ids_are_the_same()
    {
        await using var destination = _hook.Open(("batch_rows", 7), ("in_order", true));
        foreach (var size in new[] { 50, 1, 13 })
        {
            await using var sink = await destination.OpenSliceAsync(Slice(), SliceRows.Schema, CancellationToken.None);
            foreach (var batch in Enumerable.Range(0, 50).Chunk(size))
            {
                await WriteAsync(sink, [.. batch.Select(Value)]);
            }

            await sink.CommitAsync(CancellationToken.None);
        }

        var ids = _server.Calls.Select(call => call.Id).ToList();
        Assert.That(ids.Take(8), Is.Unique);
        Assert.That(ids.Skip(8).Take(8), Is.EqualTo(ids.Take(8)));
        Assert.That(ids.Skip(16), Is.EqualTo(ids.Take(8)));
        Assert.That((_server.Conflicts, _server.Repeats, _server.Rows().Count), Is.EqualTo((0, 16, 50)));
    }

    [Test]
    public async Task Other_slices_intervals_exports_and_rows_have_other_ids()
    {
        var destination = _hook.Open();
        await ExportAsync(destination, Slice(), rows: 1);
        await ExportAsync(destination, Slice() with { Slice = 1 }, rows: 1);
        await ExportAsync(destination, Slice() with { Export = "other" }, rows: 1);
        await ExportAsync(destination, Slice() with { Interval = new DataInterval(Day.End, Day.End.AddDays(1)) }, rows: 1);
        await ExportAsync(destination, Slice(), rows: 2);
        await ExportAsync(destination, Slice(attempt: 5, token: 9), rows: 1);

        var ids = _server.Calls.Select(call => call.Id).ToList();
        Assert.That(ids.Take(5), Is.Unique);
        Assert.That(ids[5], Is.EqualTo(ids[0]), "an attempt and its token are no part of it");
    }

    [Test]
    public async Task A_body_is_lines_an_array_or_what_the_template_says_and_compressed_if_asked_for()
    {
        await ExportAsync(_hook.Open(("gzip", true), ("in_order", true)), Slice(), rows: 2);
        await ExportAsync(_hook.Open(("body", "json")), Slice() with { Slice = 1 }, rows: 2);
        await ExportAsync(
            _hook.Open(("body", "template"), ("template", """{"kind":"rows","export":{{export}},"from":{{ interval_start }},"slice":{{slice}},"n":{{count}},"id":{{id}},"rows":{{rows}}}""")),
            Slice() with { Slice = 2, Export = "a\"b" },
            rows: 2);
        await ExportAsync(
            _hook.Open(("body", "template"), ("batch_rows", 1), ("template", """{"text":{{row.value}},"none":{{row.nothing}},"all":{{row}}}""")),
            Slice() with { Slice = 3 },
            rows: 1);

        Assert.That(_server.Rows().Take(2), Is.EqualTo(Rows(0, 2)));
        var bodies = _server.Calls.Select(call => Encoding.UTF8.GetString(call.Body)).ToList();
        var id = _server.Calls.ElementAt(2).Id;
        Assert.That(bodies[1], Is.EqualTo("""[{"value":"row 0"},{"value":"row 1"}]"""));
        Assert.That(bodies[2], Is.EqualTo($$"""{"kind":"rows","export":"a\u0022b","from":"2026-01-01T00:00:00+00:00","slice":2,"n":2,"id":"{{id}}","rows":[{"value":"row 0"},{"value":"row 1"}]}"""));
        Assert.That(bodies[3], Is.EqualTo("""{"text":"row 0","none":null,"all":{"value":"row 0"}}"""));
        Assert.That(_server.Calls.Select(call => call.Headers.ContentType.ToString()), Is.EqualTo(new[] { "application/x-ndjson", "application/json", "application/json", "application/json" }));
    }

    [Test]
    public async Task Headers_of_the_user_come_with_every_message()
    {
        await ExportAsync(_hook.Open(("headers", """{"X-Team":"data"}"""), ("secret_headers", """{"Authorization":"Bearer t0p"}""")), Slice(), rows: 1);

        var headers = _server.Calls.Single().Headers;
        Assert.That((headers["X-Team"].ToString(), headers.Authorization.ToString()), Is.EqualTo(("data", "Bearer t0p")));
    }

    [Test]
    public async Task While_secrets_change_a_receiver_that_knows_either_is_content()
    {
        await using var other = await WebhookServer.StartAsync(WebhookServer.NewSecret());
        var second = WebhookServer.NewSecret();
        await using var renewed = await WebhookServer.StartAsync(second);
        await ExportAsync(_hook.Open(("url", $"{_server.Address} {renewed.Address}"), ("secret", $"{_hook.Secret} {second}")), Slice(), rows: 1);
        Assert.That((_server.Rows().Count, renewed.Rows().Count), Is.EqualTo((1, 1)));

        await using var wrong = _hook.Open(("url", other.Address.ToString()));
        Assert.That(() => ExportAsync(wrong, Slice(), rows: 1), Throws.TypeOf<WebhookAnswerException>());
        Assert.That(other.Refused.Single(), Is.EqualTo("no signature fits"));
    }
}
