using System.Text.Json.Nodes;

namespace Exporter.Exports.Tests.Cli;

/// <summary>Programs read what <c>--json</c> answers: every command's answer is as committed, over one real scenario with a real worker.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class JsonAnswerTests
{
    private const int Rows = 4000;
    private CliServers _servers = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _servers = await CliServers.StartAsync(Rows);

    [OneTimeTearDown]
    public async Task EndAsync() => await (_servers?.DisposeAsync() ?? ValueTask.CompletedTask);

    [Test]
    public async Task Every_command_answers_in_json_as_committed()
    {
        var texts = new JsonTexts(_servers);
        await texts.AnswerAsync("migrate", "migrate");
        await texts.AnswerAsync("migrate-again", "migrate");
        await SetUpAsync(texts);
        var retried = await WithoutWorkerAsync(texts);
        await using (var worker = await _servers.StartWorkerAsync("--json"))
        {
            await WithWorkerAsync(texts, retried);
            await worker.TerminateAsync();
            var ended = await worker.EndAsync(TimeSpan.FromSeconds(60));
            Assert.That((ended.Status, ended.Out), Is.EqualTo((0, "")), ended.Error);
            Assert.That(ended.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries), Is.Not.Empty.And.All.Matches<string>(line => JsonNode.Parse(line!) is JsonObject));
        }

        await texts.AnswerAsync("export-delete", "export", "delete", "events");
        await texts.AnswerAsync("destination-delete", "destination", "delete", "files");
        await texts.AnswerAsync("destination-list-empty", "destination", "list");
        await texts.AnswerAsync("export-list-empty", "export", "list");
        texts.CheckAllUsed();

        var clickHouse = await TestServers.ClickHouseAsync();
        Assert.That(
            (await clickHouse.ExecuteAsync($"SELECT concat(toString(count()), ' ', toString(uniqExact(id))) FROM file('{_servers.Root}/**/*.parquet', 'Parquet')")).Trim(),
            Is.EqualTo($"{Rows} {Rows}"), "rows in the files, as ClickHouse counts them");
    }

    [Test]
    public async Task A_new_key_is_32_bytes_and_another_each_time()
    {
        var keys = new HashSet<string>();
        for (var i = 0; i < 2; i++)
        {
            var key = JsonNode.Parse((await _servers.Cli.RunAsync("keys", "generate", "--json")).Answer)!["encryption_key"]!.GetValue<string>();
            Assert.That(Convert.FromBase64String(key), Has.Length.EqualTo(32));
            Assert.That(keys.Add(key), Is.True);
        }
    }

    private async Task SetUpAsync(JsonTexts texts)
    {
        await texts.AnswerAsync("destination-create", "destination", "create", "files", "files", "--root", _servers.Root);
        await texts.AnswerAsync("destination-list", "destination", "list");
        await texts.AnswerAsync("destination-show", "destination", "show", "files");
        await texts.AnswerAsync("destination-test", "destination", "test", "files");
        await texts.AnswerAsync("destination-edit", "destination", "edit", "files", "--set", "mounted=false");
        await texts.AnswerAsync("keys-rotate", "keys", "rotate");
        await texts.AnswerAsync(
            "export-create", "export", "create", "events", "--destination", "files", "--table", "events", "--cursor-column", "at", "--key", "id",
            "--every", "1h", "--parallel-slices", "1", "--paused");
        await texts.AnswerAsync("export-unpause", "export", "unpause", "events");
        await texts.AnswerAsync("export-pause", "export", "pause", "events", "--note", "for the test");
        await texts.AnswerAsync("export-list", "export", "list");
        await texts.AnswerAsync("export-show", "export", "show", "events");

        // One with all that a model may have, which is gone again before anything else is asked.
        await texts.AnswerAsync(
            "export-create-query", "export", "create", "paying", "--destination", "files", "--query",
            "SELECT *, 0 AS gone FROM events WHERE at >= {interval_start:DateTime64(6)}", "--cursor-column", "at", "--key", "id", "--version-column", "at",
            "--dedup", "limit_by", "--deleted-column", "gone", "--include", "id=1", "--include", "id=2", "--exclude", "text=x", "--where-property",
            "text.plan in pro, team", "--column", "id", "--column", "upper(text) AS shout", "--every", "month", "--time-zone", "Europe/Berlin",
            "--start", "2026-01-01", "--end", "2030-01-01", "--paused");
        await texts.AnswerAsync("export-show-query", "export", "show", "paying");
        await texts.AnswerAsync("export-reschedule", "export", "reschedule", "paying", "--every", "15m");
        await texts.AnswerAsync("export-edit-dry-run", "export", "edit", "paying", "--unset", "include", "--format", "csv", "--dry-run");
        await texts.AnswerAsync("export-edit", "export", "edit", "paying", "--unset", "include");
        await texts.AnswerAsync("export-duplicate", "export", "duplicate", "paying", "copied", "--paused");
        await texts.AnswerAsync("export-delete-copied", "export", "delete", "copied");
        await texts.AnswerAsync("export-delete-query", "export", "delete", "paying");
        await texts.AnswerAsync("audit-list", "audit", "list", "--name", "paying");
    }

    // Nothing moves by itself, so every state is the one before a worker comes.
    private static async Task<string> WithoutWorkerAsync(JsonTexts texts)
    {
        await texts.AnswerAsync(1, "doctor-without-worker", "doctor");
        await texts.AnswerAsync("run-list-empty", "run", "list");
        var run = await texts.AnswerAsync("export-run", "export", "run", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z");
        var runId = run["run_id"]!.ToString();
        await texts.AnswerAsync("run-show-queued", "run", "show", runId);
        await texts.AnswerAsync("run-logs-empty", "run", "logs", runId);
        await texts.AnswerAsync("run-cancel", "run", "cancel", runId);
        await texts.AnswerAsync("run-retry", "run", "retry", runId);
        await texts.AnswerAsync("backfill-list-empty", "backfill", "list");
        var backfill = await texts.AnswerAsync(
            "backfill-create", "backfill", "create", "events", "--start", "2026-03-01T01:00Z", "--end", "2026-03-01T04:00Z", "--replace");
        await texts.AnswerAsync("backfill-cancel", "backfill", "cancel", backfill["backfill_id"]!.ToString());
        await texts.AnswerAsync("run-list", "run", "list", "--state", "queued");
        return runId;
    }

    private static async Task WithWorkerAsync(JsonTexts texts, string retried)
    {
        // Returns when the run has ended; no other run may move its interval before.
        await texts.AnswerAsync("run-logs-follow", "run", "logs", retried, "--follow");
        var backfill = await texts.AnswerAsync(
            "backfill-create-wait", "backfill", "create", "events", "--start", "2026-03-01T01:00Z", "--end", "2026-03-01T04:00Z", "--wait");
        await texts.AnswerAsync("backfill-show", "backfill", "show", backfill["backfill_id"]!.ToString());
        await texts.AnswerAsync("backfill-list", "backfill", "list", "--export", "events", "--limit", "1");

        // The interval that was cancelled and retried is there already; this replaces it.
        var run = await texts.AnswerAsync(
            "export-run-wait", "export", "run", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z", "--wait");
        var runId = run["run_id"]!.ToString();
        await texts.AnswerAsync("run-show", "run", "show", runId);
        await texts.AnswerAsync("run-watch", "run", "watch", runId);
        await texts.AnswerAsync("run-logs", "run", "logs", runId);
        await texts.AnswerAsync("run-bad-rows-empty", "run", "bad-rows", runId);
        await texts.AnswerAsync("run-verify-wait", "run", "verify", runId, "--wait");
        await texts.AnswerAsync(
            "export-verify-wait", "export", "verify", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z", "--compare", "--wait");
        await texts.AnswerAsync("export-plan", "export", "plan", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z");
        await texts.AnswerAsync("backfill-plan", "backfill", "plan", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T04:00Z");
        await texts.AnswerAsync("doctor", "doctor");
    }
}
