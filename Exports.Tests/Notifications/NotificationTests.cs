using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;
using Exporter.Exports.Tests.Destinations;
using Exporter.Exports.Tests.Pipeline;
using Microsoft.Extensions.Logging.Abstractions;

namespace Exporter.Exports.Tests.Notifications;

/// <summary>Who wants to know is told, once for each trouble and once for its end, by real receivers.</summary>
internal sealed class NotificationTests
{
    private const int Rows = 2000;
    private readonly string _secret = WebhookServer.NewSecret();
    private RunFixture _fixture = null!;
    private WebhookServer _hook = null!;
    private SmtpReceiver _mail = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _fixture = await RunFixture.NewAsync();
        await _fixture.FillAsync(
            "ts DateTime64(6, 'UTC'), id UInt64",
            $"SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 43), number FROM numbers({Rows})");
        _hook = await WebhookServer.StartAsync(_secret);
        _mail = SmtpReceiver.Start(Directory.CreateTempSubdirectory("exporter-mail-").FullName);
    }

    [TearDown]
    public async Task EndAsync()
    {
        await _fixture.DisposeAsync();
        await _hook.DisposeAsync();
        await _mail.DisposeAsync();
        Directory.Delete(Path.GetDirectoryName(_mail.CertificateFile)!, recursive: true);
    }

    [Test]
    public async Task An_export_that_fails_is_told_once_that_it_pauses_itself_too_and_that_it_recovers()
    {
        await StartAsync();
        await TellAsync(Hook());
        await TellAsync(new NotificationTarget { Name = "others", Url = _hook.Url("/others").ToString(), Secret = _secret, BatchExports = ["weekly"] });
        await TellAsync(new NotificationTarget { Name = "ends", Url = _hook.Url("/ends").ToString(), Secret = _secret, Events = [NotificationEvent.Recovered] });
        var export = RunFixture.Export();
        var run = await _fixture.RunAsync(export with
        {
            Paused = false,
            Note = null,
            Model = export.Model with { Filter = "no_such_column = 1" },
            Settings = export.Settings with { PauseAfterFailures = 2 },
        });
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That((await RunAsync(1)).State, Is.EqualTo("failed"));
        await ToldAsync("/", "batch_export.failed", "batch_export.paused");
        var failed = Told("/")[0];
        Assert.That((string?)failed["data"]!["batch_export"], Is.EqualTo("daily"));
        Assert.That((string?)failed["data"]!["run_id"], Is.EqualTo(run.RunId.ToString()));
        Assert.That((string?)failed["data"]!["interval_start"], Is.EqualTo("2026-11-01T00:00:00Z"));
        Assert.That((string?)failed["data"]!["detail"], Does.Contain("Setting: filter.").And.Contain("no_such_column"), "what to do");
        Assert.That(await OpenAsync(), Is.EqualTo(new[] { "failing" }));

        await _fixture.Database.Exports.UnpauseAsync("daily", "tester");
        await _fixture.Database.Exports.EditAsync(
            "daily", new BatchExportEdit { Model = (await _fixture.Database.Exports.GetAsync("daily")).Model with { Filter = null } }, "tester");
        Assert.That((await RunAsync(0)).State, Is.EqualTo("completed"));
        await ToldAsync("/", "batch_export.failed", "batch_export.paused", "batch_export.recovered");
        await ToldAsync("/ends", "batch_export.recovered");
        Assert.That(await OpenAsync(), Is.Empty);
        Assert.That(Told("/others"), Is.Empty);
        Assert.That(_hook.Refused, Is.Empty, "each is signed, and none came under another's id");
        Assert.That(_hook.Calls.Select(call => call.Id).Distinct().Count(), Is.EqualTo(4));
        await Eventually.TrueAsync(
            async () => (await Store.SentAsync(10)).Count(one => one is { SentAt: not null, State: "completed" }) == 4, "what was told is recorded");
    }

    [Test]
    public async Task An_interval_that_is_not_there_in_time_is_told_and_so_is_its_end()
    {
        await TellAsync(Hook());
        var export = RunFixture.Export();
        await _fixture.Database.Destinations.CreateAsync(
            new Destination { Name = "folder", Kind = "files", Settings = new JsonObject { ["root"] = _fixture.Folder } }, "tester");
        await _fixture.Database.Exports.CreateAsync(
            export with { Paused = false, Note = null, Settings = export.Settings with { LateAfter = TimeSpan.FromMinutes(1) } }, "folder", "tester");
        await LookAsync();
        Assert.That(await OpenAsync(), Is.Empty, "its first interval has not ended");

        // Nobody works, so the last interval of an export that was there before it is late.
        await _fixture.Database.ExecuteAsync("update exports.batch_export set created_at = created_at - interval '9 days', updated_at = updated_at - interval '9 days'");
        await Task.WhenAll(LookAsync(), LookAsync());
        await LookAsync();
        Assert.That(await OpenAsync(), Is.EqualTo(new[] { "late" }));
        await StartAsync();
        await ToldAsync("/", "batch_export.late");
        var daily = await _fixture.Database.Exports.GetAsync("daily");
        Assert.That((string?)Told("/")[0]["data"]!["detail"], Does.Contain("late_after"));

        var run = await _fixture.EndedRunAsync(await _fixture.Database.Control.StartAsync(daily, null, "tester"));
        Assert.That(run.State, Is.EqualTo("completed"), run.Error);
        await ToldAsync("/", "batch_export.late", "batch_export.on_time");
        await LookAsync();
        Assert.That(await OpenAsync(), Is.Empty);
    }

    [Test]
    public async Task A_paused_export_is_never_late()
    {
        var export = RunFixture.Export();
        await _fixture.Database.Destinations.CreateAsync(
            new Destination { Name = "folder", Kind = "files", Settings = new JsonObject { ["root"] = _fixture.Folder } }, "tester");
        await _fixture.Database.Exports.CreateAsync(export with { Settings = export.Settings with { LateAfter = TimeSpan.FromMinutes(1) } }, "folder", "tester");
        await _fixture.Database.ExecuteAsync("update exports.batch_export set created_at = created_at - interval '9 days', updated_at = updated_at - interval '9 days'");
        await LookAsync();
        Assert.That(await OpenAsync(), Is.Empty);
    }

    [Test]
    public async Task Mail_is_tried_again_until_it_is_taken_and_says_what_to_do()
    {
        _mail.Deferrals = 1;
        await StartAsync(new SmtpOptions { Host = "127.0.0.1", Port = _mail.Port, Tls = SmtpTls.None, From = "exporter@example.com" });
        await TellAsync(new NotificationTarget { Name = "people", Email = ["ops@example.com", "data@example.com"] });
        var export = RunFixture.Export();
        var run = await _fixture.RunAsync(export with { Model = export.Model with { Filter = "no_such_column = 1" } });
        await Eventually.TrueAsync(() => !_mail.Mail.IsEmpty, "mail was taken", 60);
        var mail = _mail.Mail.Single();
        Assert.That(mail.Subject, Is.EqualTo("daily is failing"));
        Assert.That(mail.To.Mailboxes.Select(one => one.Address), Is.EqualTo(new[] { "ops@example.com", "data@example.com" }));
        Assert.That(mail.TextBody, Does.Contain("no_such_column").And.Contain($"exporter run show {run.RunId}").And.Contain("2026-11-01T00:00:00Z"));
        Assert.That(_mail.Deferrals, Is.Zero, "it was asked for another try");
    }

    [Test]
    public async Task What_cannot_be_sent_is_given_up_with_a_reason_and_the_run_is_as_it_was()
    {
        await StartAsync();
        await TellAsync(new NotificationTarget { Name = "people", Email = ["ops@example.com"] });
        var export = RunFixture.Export();
        Assert.That((await _fixture.RunAsync(export with { Model = export.Model with { Filter = "no_such_column = 1" } })).State, Is.EqualTo("failed"));
        await Eventually.TrueAsync(async () => (await Store.SentAsync(1)) is [{ State: "failed" }], "it was given up");
        Assert.That((await Store.SentAsync(1))[0].Error, Does.Contain("Setting: smtp_host."));
    }

    [Test]
    public async Task A_target_that_was_deleted_is_told_no_more()
    {
        _hook.Fault = _ => new WebhookFault { Status = 503 };
        await StartAsync();
        await TellAsync(Hook());
        var export = RunFixture.Export();
        await _fixture.RunAsync(export with { Model = export.Model with { Filter = "no_such_column = 1" } });
        await Eventually.TrueAsync(() => !_hook.Calls.IsEmpty, "it is being tried");
        await Store.DeleteAsync("hook", "tester");
        await Eventually.TrueAsync(async () => (await Store.SentAsync(1)) is [{ State: "completed" }], "it is over", 60);
        Assert.That((await Store.SentAsync(1))[0].SentAt, Is.Null);
        Assert.That(_hook.Rows(), Is.Empty);
    }

    private NotificationStore Store => new(_fixture.Database.Data, _fixture.Database.Codec);

    private NotificationTarget Hook() => new() { Name = "hook", Url = _hook.Address.ToString(), Secret = _secret };

    private Task TellAsync(NotificationTarget target) => Store.CreateAsync(target, "tester");

    private Task StartAsync(SmtpOptions? smtp = null) => _fixture.StartAsync(smtp: smtp);

    private Task LookAsync()
    {
        var database = _fixture.Database;
        return new LatenessWatch(
            database.Data, new NotificationOutbox(database.Data, database.Engine), database.Runs, TimeProvider.System, NullLogger<LatenessWatch>.Instance)
            .LookAsync(CancellationToken.None);
    }

    private async Task<RunView> RunAsync(int day)
    {
        var interval = new DataInterval(RunFixture.Start.AddDays(day), RunFixture.Start.AddDays(day + 1));
        return await _fixture.EndedRunAsync(await _fixture.Database.Control.StartAsync(await _fixture.Database.Exports.GetAsync("daily"), interval, "tester"));
    }

    private async Task<IEnumerable<string>> OpenAsync() => (await Store.TroublesAsync(open: true, 10)).Select(one => one.Kind);

    private List<JsonNode> Told(string path) => [.. _hook.Calls.Where(call => call.Path == path).Select(call => JsonNode.Parse(call.Body)!)];

    private Task ToldAsync(string path, params string[] types) => Eventually.TrueAsync(
        () => Told(path).Select(message => (string)message["type"]!).Order(StringComparer.Ordinal).SequenceEqual(types.Order(StringComparer.Ordinal)),
        $"{path} was told {string.Join(", ", types)}");
}
