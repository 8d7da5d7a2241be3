using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Exporter.Engine.Tests;
using Exporter.Exports.Tests.Api;

namespace Exporter.Exports.Tests.Cli;

/// <summary><c>exporter serve</c> as an operator starts it: the first login, a key, an export that it executes, and a clean end.</summary>
internal sealed partial class ServeTests
{
    [Test]
    public async Task The_first_start_lets_an_administrator_in_once_and_everything_else_is_done_over_HTTP()
    {
        await using var servers = await CliServers.StartAsync(rows: 2_000);
        _ = (await servers.Cli.RunAsync("migrate")).Answer;
        string key;
        await using (var serving = await StartAsync(servers))
        {
            var once = OneTime().Match(serving.Log).Groups["password"].Value;
            Assert.That(once, Has.Length.EqualTo(24), serving.Log);
            using var http = new HttpClient(new SocketsHttpHandler { CookieContainer = new CookieContainer() }) { BaseAddress = new Uri(Address(serving) + "/api/v1/") };
            var browser = new ApiClient(http);
            var session = (await browser.PostAsync("session", new JsonObject { ["name"] = "admin", ["password"] = once })).Json;
            http.DefaultRequestHeaders.Add("X-CSRF-Token", (string?)session["csrf_token"]);
            (await browser.GetAsync("projects")).Problem(403);
            var password = new JsonObject { ["current_password"] = once, ["new_password"] = "a password of my own" };
            Assert.That((await browser.PostAsync("session/password", password)).Status, Is.EqualTo(204));
            key = (string)(await browser.PostAsync("keys", new JsonObject { ["name"] = "ci", ["role"] = "admin" })).Json["secret"]!;

            using var program = new HttpClient { BaseAddress = http.BaseAddress, DefaultRequestHeaders = { { "Authorization", "Bearer " + key } } };
            var client = new ApiClient(program);
            await client.PostAsync("projects/default/destinations", new JsonObject { ["name"] = "lake", ["kind"] = "files", ["settings"] = new JsonObject { ["root"] = servers.Root } });
            var export = await client.PostAsync("projects/default/exports", new JsonObject
            {
                ["name"] = "events",
                ["destination"] = "lake",
                ["model"] = new JsonObject { ["table"] = "events", ["cursor_column"] = "at" },
                ["schedule"] = new JsonObject { ["every"] = "1d" },
                ["paused"] = true,
            });
            Assert.That(export.Status, Is.EqualTo(201), export.Body);
            var day = new JsonObject { ["start"] = "2026-03-01T00:00:00Z", ["end"] = "2026-03-02T00:00:00Z" };
            Assert.That((int)(await client.PostAsync("projects/default/exports/events/plan", day.DeepClone())).Json["rows"]!, Is.EqualTo(2_000));
            var run = (string)(await client.PostAsync("projects/default/exports/events/runs", day)).Json["run_id"]!;
            await Eventually.TrueAsync(
                async () => (string?)(await client.GetAsync($"projects/default/runs/{run}")).Json["run"]!["state"] == "completed", "the run is completed", 60);

            // What watches it needs no more than it should.
            Assert.That((await browser.GetAsync("/health/live")).Status, Is.EqualTo(200));
            Assert.That((await browser.GetAsync("/health/ready")).Body, Is.EqualTo("Healthy"));
            Assert.That((await new ApiClient(new HttpClient { BaseAddress = http.BaseAddress }).GetAsync("/metrics")).Status, Is.EqualTo(401));
            Assert.That((await client.GetAsync("/metrics")).Body, Does.Contain("exporter_engine_runs_claimed"));
            (await client.GetAsync("nothing/here")).Problem(404);
            (await client.DeleteAsync("projects")).Problem(405);

            // Somebody who watches does not hold the end up.
            var watched = (string)(await client.PostAsync("projects/default/backfills", new JsonObject { ["export"] = "events", ["end"] = "2026-03-02T00:00:00Z", ["start"] = "2026-03-01T00:00:00Z" })).Json["backfill_id"]!;
            Assert.That(watched, Is.Not.Empty);
            await serving.TerminateAsync();
            var end = await serving.EndAsync(TimeSpan.FromSeconds(30));
            Assert.That(end.Status, Is.Zero, serving.Log);
            Assert.That(serving.Log, Does.Not.Contain(key));
        }

        await using var again = await StartAsync(servers, "--no-worker");
        Assert.That(again.Log, Does.Not.Contain("one-time"));
        using var later = new HttpClient { BaseAddress = new Uri(Address(again) + "/api/v1/"), DefaultRequestHeaders = { { "Authorization", "Bearer " + key } } };
        Assert.That((await new ApiClient(later).GetAsync("engine/workers")).Json["items"]!.AsArray().Select(worker => (bool)worker!["alive"]!), Is.All.False);
    }

    [Test]
    public async Task Users_and_keys_are_made_and_taken_away_on_the_command_line()
    {
        await using var servers = await CliServers.StartAsync(rows: 10);
        var cli = servers.Cli;
        _ = (await cli.RunAsync("migrate")).Answer;
        _ = (await cli.RunAsync("project", "create", "billing")).Answer;
        Assert.That((await cli.RunAsync("user", "create", "ann", "--role", "admin")).Answer, Does.Contain("one-time password"));
        Assert.That((await cli.RunAsync("user", "create", "bob", "--role", "default=operator", "--role", "billing=viewer")).Status, Is.Zero);
        Assert.That((await cli.RunAsync("user", "list")).Answer, Does.Contain("default=operator").And.Contain("billing=viewer"));
        Assert.That((await cli.RunAsync("user", "password", "bob")).Answer, Does.Contain("one-time password"));
        Assert.That((await cli.RunAsync("user", "create", "eve", "--role", "king")).Status, Is.EqualTo(2));
        Assert.That((await cli.RunAsync("user", "delete", "ann")).Status, Is.EqualTo(2), "the last administrator");
        Assert.That((await cli.RunAsync("user", "delete", "bob")).Status, Is.Zero);
        Assert.That((await cli.RunAsync("key", "create", "ci", "--role", "billing=viewer", "--expires-in", "90d")).Answer, Does.StartWith("exk_"));
        var listed = JsonNode.Parse((await cli.RunAsync("key", "list", "--json")).Answer)!.AsArray().Single()!;
        Assert.That(((string?)listed["project"], (string?)listed["role"]), Is.EqualTo(("billing", "viewer")));
        Assert.That((await cli.RunAsync("key", "revoke", (string)listed["key_id"]!)).Status, Is.Zero);
        Assert.That((await cli.RunAsync("key", "list")).Answer, Does.Contain("no API keys"));
        Assert.That((await cli.RunAsync("serve", "--listen", "ftp://x")).Error, Does.Contain("serve_listen"));
        Assert.That((await cli.RunAsync("serve", "--listen", "https://127.0.0.1:0")).Error, Does.Contain("serve_certificate_file"));
    }

    private static async Task<CliProcess> StartAsync(CliServers servers, params string[] arguments)
    {
        var serving = servers.Cli.Start(new CliCall(), ["serve", "--listen", "http://127.0.0.1:0", "--grace", "1s", .. arguments]);
        await Eventually.TrueAsync(() => serving.HasExited || serving.Log.Contains("Listening on", StringComparison.Ordinal), "it listens");
        Assert.That(serving.HasExited, Is.False, serving.Log);
        return serving;
    }

    private static string Address(CliProcess serving) => Listening().Match(serving.Log).Groups["address"].Value;

    [GeneratedRegex("not shown again: (?<password>\\S+)")]
    private static partial Regex OneTime();

    [GeneratedRegex("Listening on (?<address>http://[^;]+);")]
    private static partial Regex Listening();
}
