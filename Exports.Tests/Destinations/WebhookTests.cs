using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class WebhookTests
{
    private static readonly DataInterval Day = new(
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2026, 1, 2, 0, 0, 0, TimeSpan.Zero));

    private readonly string _secret = WebhookServer.NewSecret();
    private WebhookServer _server = null!;

    [SetUp]
    public async Task StartAsync() => _server = await WebhookServer.StartAsync(_secret);

    [TearDown]
    public async Task EndAsync() => await _server.DisposeAsync();

    // The example of the specification.
    [Test]
    public void A_signature_is_the_one_of_standard_webhooks() => Assert.That(
        new WebhookSignature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").Of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}"u8),
        Is.EqualTo("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));

    [Test]
    public async Task Every_row_arrives_once_in_signed_messages_of_bounded_size()
    {
        var receipt = await ExportAsync(Open(("batch_rows", 30)), Slice(), rows: 100);

        Assert.That((receipt.Rows, receipt.File), Is.EqualTo((100L, (string?)null)));
        Assert.That(receipt.Bytes, Is.EqualTo(_server.Calls.Sum(call => call.Body.Length)));
        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 100)));
        Assert.That(_server.Calls, Has.Count.EqualTo(4));
        Assert.That(_server.Refused, Is.Empty);
    }

    [Test]
    public async Task A_message_has_no_more_bytes_than_it_may_unless_it_is_one_row()
    {
        await using var destination = Open(("batch_bytes", 1_024), ("in_order", true));
        await using var sink = await destination.OpenSliceAsync(Slice(), SliceRows.Schema, CancellationToken.None);
        await WriteAsync(sink, new string('a', 500), new string('b', 400), new string('c', 200), new string('d', 5_000), "e");
        await sink.CommitAsync(CancellationToken.None);

        Assert.That(_server.Calls.Select(call => call.Body.Count(letter => letter == '\n')), Is.EqualTo(new[] { 2, 1, 1, 1 }));
        Assert.That(_server.Rows(), Has.Count.EqualTo(5));
    }

    [Test]
    public async Task However_rows_come_in_batches_the_messages_and_their_ids_are_the_same()
    {
        await using var destination = Open(("batch_rows", 7), ("in_order", true));
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
        var destination = Open();
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
        await ExportAsync(Open(("gzip", true), ("in_order", true)), Slice(), rows: 2);
        await ExportAsync(Open(("body", "json")), Slice() with { Slice = 1 }, rows: 2);
        await ExportAsync(
            Open(("body", "template"), ("template", """{"kind":"rows","export":{{export}},"from":{{ interval_start }},"slice":{{slice}},"n":{{count}},"id":{{id}},"rows":{{rows}}}""")),
            Slice() with { Slice = 2, Export = "a\"b" },
            rows: 2);
        await ExportAsync(
            Open(("body", "template"), ("batch_rows", 1), ("template", """{"text":{{row.value}},"none":{{row.nothing}},"all":{{row}}}""")),
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
        await ExportAsync(Open(("headers", """{"X-Team":"data"}"""), ("secret_headers", """{"Authorization":"Bearer t0p"}""")), Slice(), rows: 1);

        var headers = _server.Calls.Single().Headers;
        Assert.That((headers["X-Team"].ToString(), headers.Authorization.ToString()), Is.EqualTo(("data", "Bearer t0p")));
    }

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
        await ExportAsync(Open(), Slice(), rows: 3);

        Assert.That(_server.Rows(), Is.EqualTo(Rows(0, 3)));
        Assert.That(_server.Calls.Select(call => call.Id).Distinct().Count(), Is.EqualTo(1));
        Assert.That(clock.Elapsed.TotalSeconds, Is.GreaterThan(wait is null ? 0.3 : 0.95));
    }

    [TestCase("120", 120)]
    [TestCase("99999999999", 24 * 3600)]
    public async Task A_long_wait_is_left_to_the_run_and_holds_for_every_slice_of_it(string wait, int seconds)
    {
        _server.Fault = _ => new WebhookFault { Status = 429, RetryAfter = wait };
        await using var destination = Open();
        var error = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice(), rows: 3));
        var again = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice() with { Slice = 1 }, rows: 3));

        Assert.That(destination.Classify(error!), Has.Property("Kind").EqualTo(ErrorKind.Throttled).And.Property("RetryAfter").EqualTo(TimeSpan.FromSeconds(seconds)));
        Assert.That(destination.Classify(again!)!.RetryAfter!.Value.TotalSeconds, Is.EqualTo(seconds).Within(10));
        Assert.That(_server.Calls, Has.Count.EqualTo(1), "nobody asked again");
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task A_connection_that_breaks_before_or_after_the_rows_are_taken_leaves_them_there_once(bool taken)
    {
        var broken = new ConcurrentDictionary<string, bool>();
        _server.Fault = call => call.Number % 3 == 1 && broken.TryAdd(call.Id, true) ? new WebhookFault { Takes = taken } : null;
        await ExportAsync(Open(("batch_rows", 10)), Slice(), rows: 100);

        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 100)));
        Assert.That((_server.Conflicts, _server.Repeats > 0), Is.EqualTo((0, taken)));
    }

    [Test]
    public async Task The_next_attempt_goes_on_after_the_last_message_that_was_acknowledged()
    {
        var progress = new KeptProgress();
        _server.Fault = call => call.Number >= 5 ? new WebhookFault { Status = 503, Takes = call.Number == 5, RetryAfter = "60" } : null;
        await using (var destination = Open(("batch_rows", 10), ("in_order", true)))
        {
            Assert.That(() => ExportAsync(destination, Slice(progress: progress), rows: 100), Throws.TypeOf<WebhookAnswerException>());
        }

        Assert.That(progress.Offsets.Single(), Is.EqualTo(new DeliveryOffset(_server.Address.ToString(), 5, 50)));
        _server.Fault = _ => null;
        var before = _server.Calls.Select(call => call.Id).ToList();
        var receipt = await ExportAsync(Open(("batch_rows", 10), ("in_order", true)), Slice(attempt: 2, progress: progress), rows: 100);

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
        await ExportAsync(Open(("batch_rows", 10), ("in_order", true)), Slice(progress: progress), rows: 30);

        Assert.That(seen, Is.EqualTo(new[] { "0 True", "1 True", "2 True" }));
        Assert.That(progress.Offsets[0].Messages, Is.EqualTo(3));
    }

    [Test]
    public async Task Rows_that_changed_since_a_message_was_delivered_stop_the_run_and_nothing_more_is_sent()
    {
        var progress = new KeptProgress();
        _server.Fault = call => call.Number >= 5 ? new WebhookFault { Status = 503, RetryAfter = "60" } : null;
        await using var first = Open(("batch_rows", 10), ("in_order", true));
        Assert.That(() => ExportAsync(first, Slice(progress: progress), rows: 100), Throws.TypeOf<WebhookAnswerException>());
        _server.Fault = _ => null;

        foreach (var (from, rows) in new[] { (1, 100), (0, 40), (0, 55) })
        {
            await using var destination = Open(("batch_rows", 10), ("in_order", true));
            var error = await Assert.ThrowsAsync<UserErrorException>(() => ExportAsync(destination, Slice(attempt: 2, progress: progress), rows, from));
            Assert.That(error!.Setting, Is.EqualTo("settle_delay"));
        }

        await using var other = Open(("batch_rows", 20), ("in_order", true));
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
        await using (var destination = Open(("url", urls), ("batch_rows", 10)))
        {
            Assert.That(() => ExportAsync(destination, Slice(progress: progress), rows: 100), Throws.TypeOf<WebhookAnswerException>());
        }

        Assert.That(_server.Rows("/a"), Is.EquivalentTo(Rows(0, 100)));
        _server.Fault = _ => null;
        var callsOfA = _server.Calls.Count(call => call.Path == "/a");
        await ExportAsync(Open(("url", urls), ("batch_rows", 10)), Slice(attempt: 2, progress: progress), rows: 100);

        Assert.That(_server.Rows("/b"), Is.EquivalentTo(Rows(0, 100)));
        Assert.That(_server.Calls.Count(call => call.Path == "/a"), Is.EqualTo(callsOfA), "it got nothing again");
        Assert.That(progress.Offsets.Select(offset => (offset.Receiver, offset.Rows)), Is.EquivalentTo(new[] { (_server.Url("/a").ToString(), 100L), (_server.Url("/b").ToString(), 100L) }));
    }

    [Test]
    public async Task A_message_that_is_refused_is_kept_aside_with_its_reason_and_the_others_go_on()
    {
        var progress = new KeptProgress();
        _server.Fault = call => call.Body.AsSpan().IndexOf("row 25\""u8) >= 0 ? new WebhookFault { Status = 422 } : null;
        var receipt = await ExportAsync(Open(("batch_rows", 10), ("rejected", "dead_letter")), Slice(progress: progress), rows: 100);

        var letter = progress.DeadLetters.Single();
        Assert.That((receipt.Rows, _server.Rows().Count), Is.EqualTo((100L, 90)));
        Assert.That((letter.Number, letter.Rows, letter.Status, letter.Reason), Is.EqualTo((2, 10, 422, $"{_server.Address} answered 422: as the test says")));
        Assert.That(Encoding.UTF8.GetString(letter.Body.Span).Split('\n')[..10], Is.EqualTo(Rows(20, 10)));

        _server.Fault = _ => null;
        await using var destination = Open();
        await destination.ResendAsync(letter.ReceiverKey, letter.MessageId, letter.Body, CancellationToken.None);
        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 100)));
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
        await using var destination = Open();
        var error = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice(), rows: 1));
        var sorted = destination.Classify(error!)!;

        Assert.That((sorted.Kind, sorted.Setting, sorted.PausesExport), Is.EqualTo((ErrorKind.User, setting, pauses)));
        Assert.That(_server.Calls, Has.Count.EqualTo(1), "it was not tried again");
    }

    [Test]
    public async Task A_redirect_is_not_followed()
    {
        await using var elsewhere = await WebhookServer.StartAsync(_secret);
        _server.Fault = _ => new WebhookFault { Status = 307, Location = elsewhere.Address.ToString() };
        await using var destination = Open();
        var error = await Assert.ThrowsAsync<WebhookAnswerException>(() => ExportAsync(destination, Slice(), rows: 1));

        Assert.That(destination.Classify(error!), Has.Property("Setting").EqualTo("url").And.Property("Advice").Contains("not followed"));
        Assert.That(elsewhere.Calls, Is.Empty);
    }

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
        await using var destination = Open(("url", "http://169.254.169.254/latest/meta-data"));
        var last = (await destination.CheckAsync(CancellationToken.None).ToListAsync())[^1];

        Assert.That((last.Step, last.Ok), Is.EqualTo(("connect", false)));
        Assert.That(last.Detail, Does.Contain("Setting: url."));
    }

    [Test]
    public async Task While_secrets_change_a_receiver_that_knows_either_is_content()
    {
        await using var other = await WebhookServer.StartAsync(WebhookServer.NewSecret());
        var second = WebhookServer.NewSecret();
        await using var renewed = await WebhookServer.StartAsync(second);
        await ExportAsync(Open(("url", $"{_server.Address} {renewed.Address}"), ("secret", $"{_secret} {second}")), Slice(), rows: 1);
        Assert.That((_server.Rows().Count, renewed.Rows().Count), Is.EqualTo((1, 1)));

        await using var wrong = Open(("url", other.Address.ToString()));
        Assert.That(() => ExportAsync(wrong, Slice(), rows: 1), Throws.TypeOf<WebhookAnswerException>());
        Assert.That(other.Refused.Single(), Is.EqualTo("no signature fits"));
    }

    [Test]
    public async Task No_more_requests_a_second_are_made_than_asked_for()
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await ExportAsync(Open(("requests_per_second", 20), ("batch_rows", 1), ("concurrency", 16)), Slice(), rows: 16);

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
        await using var destination = Open(("batch_rows", 10), ("concurrency", 4));
        await Task.WhenAll(
            ExportOpenAsync(destination, Slice(), rows: 100), ExportOpenAsync(destination, Slice() with { Slice = 1 }, rows: 100, from: 100));

        Assert.That(_server.MostAtOnce, Is.EqualTo(4));
        Assert.That(_server.Rows(), Is.EquivalentTo(Rows(0, 200)));
    }

    [Test]
    public async Task In_order_rows_come_one_message_after_another()
    {
        await using var destination = Open(("batch_rows", 7), ("in_order", true));
        await ExportOpenAsync(destination, Slice(), rows: 100);

        Assert.That((_server.Rows(), _server.MostAtOnce, destination.Order), Is.EqualTo((Rows(0, 100), 1, RowOrder.InRun)));
    }

    [Test]
    public async Task A_check_passes_step_by_step_and_brings_no_rows()
    {
        await using var destination = Open();
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
        await using var destination = Open((setting, value.Replace("PORT", _server.Address.Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)), ("timeout_seconds", 1));
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
        var error = Assert.Throws<UserErrorException>(() => Open(
            (setting, int.TryParse(value, CultureInfo.InvariantCulture, out var number) ? number : value), ("body", setting == "template" ? "template" : setting == "body" ? value : "ndjson")));
        Assert.That(error!.Setting, Is.EqualTo(setting));
    }

    internal static string Value(int row) => $"row {row}";

    private static string[] Rows(int from, int count) => [.. Enumerable.Range(from, count).Select(row => $$"""{"value":"{{Value(row)}}"}""")];

    private static SliceAddress Slice(int attempt = 1, long token = 1, ISliceProgress? progress = null) => new("events", Day, 0, attempt, token) { Progress = progress };

    private static async Task<SliceReceipt> ExportAsync(WebhookDestination destination, SliceAddress address, int rows, int from = 0)
    {
        await using var sink = await destination.OpenSliceAsync(address, SliceRows.Schema, CancellationToken.None);
        foreach (var batch in Enumerable.Range(from, rows).Chunk(9))
        {
            await WriteAsync(sink, [.. batch.Select(Value)]);
        }

        return await sink.CommitAsync(CancellationToken.None);
    }

    private static Task<SliceReceipt> ExportOpenAsync(WebhookDestination destination, SliceAddress address, int rows, int from = 0) =>
        Task.Run(() => ExportAsync(destination, address, rows, from));

    private static async Task WriteAsync(ISliceSink sink, params string[] values)
    {
        using var batch = SliceRows.Batch(values);
        await sink.WriteAsync(batch, CancellationToken.None);
    }

    private WebhookDestination Open(params (string Setting, object Value)[] given)
    {
        var settings = new JsonObject { ["url"] = _server.Address.ToString() };
        var secrets = new Dictionary<string, string> { ["secret"] = _secret };
        foreach (var (setting, value) in given)
        {
            if (setting.StartsWith("secret", StringComparison.Ordinal))
            {
                secrets[setting] = (string)value;
            }
            else
            {
                settings[setting] = value switch { int number => JsonValue.Create(number), bool yes => JsonValue.Create(yes), _ => JsonValue.Create((string)value) };
            }
        }

        return (WebhookDestination)DestinationKinds.Open(
            new Destination { Name = "hook", Kind = "webhook", Settings = settings, Secrets = secrets }, new FormatOptions());
    }

    /// <summary>What a step's checkpoint keeps, in memory.</summary>
    private sealed class KeptProgress : ISliceProgress
    {
        public string? Last { get; private set; }

        public IReadOnlyList<DeliveryOffset> Offsets { get; private set; } = [];

        public List<DeadLetter> DeadLetters { get; } = [];

        public Task CommitAsync(SliceDelivery delivery, CancellationToken cancellationToken)
        {
            Last = delivery.Progress;
            Offsets = delivery.Offsets;
            DeadLetters.AddRange(delivery.DeadLetters);
            return Task.CompletedTask;
        }
    }
}
