using System.Text.Json.Nodes;
using Exporter.Exports.Model;
using Exporter.Exports.Tests.Model;

namespace Exporter.Exports.Tests.Api;

/// <summary>Changes: asked twice is done once, and nobody overwrites what somebody else has changed meanwhile.</summary>
internal sealed class RequestTests
{
    private static readonly string Runs = "projects/default/exports/hourly/runs";

    [Test]
    public async Task Asked_twice_under_one_key_is_done_once_and_answered_the_same()
    {
        await using var server = await ApiServer.StartAsync();
        var operators = await server.WithKeyAsync(AccessRole.Operator);
        await ModelFixture.NewHourlyAsync(server.Database);
        var body = Interval(0);
        var first = await operators.PostAsync(Runs, body, "key-1");
        var second = await operators.PostAsync(Runs, body, "key-1");
        Assert.That((first.Status, first.IsRepeated), Is.EqualTo((201, false)), first.Body);
        Assert.That((second.Status, second.IsRepeated, second.Body, second.Location), Is.EqualTo((201, true, first.Body, first.Location)));
        Assert.That(await server.Database.ScalarAsync<long>("select count(*) from exports.run"), Is.EqualTo(1));

        // Eight at once: one is done, the others are told so or to wait.
        var many = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => operators.PostAsync(Runs, Interval(1), "key-2")));
        Assert.That(many.Select(one => one.Status), Is.All.EqualTo(201).Or.EqualTo(409));
        Assert.That(many.Count(one => one is { Status: 201, IsRepeated: false }), Is.EqualTo(1));
        Assert.That(await server.Database.ScalarAsync<long>("select count(*) from exports.run"), Is.EqualTo(2));

        // The key of something else, and somebody else's key.
        (await operators.PostAsync(Runs, Interval(2), "key-1")).Problem(422);
        Assert.That((await (await server.WithKeyAsync(AccessRole.Operator)).PostAsync(Runs, Interval(2), "key-1")).Status, Is.EqualTo(201));

        // What was refused is not remembered: it is tried again once it is mended.
        (await operators.PostAsync(Runs, Interval(0), "key-3")).Problem(409);
        await server.Database.Control.CancelAsync((Guid)first.Json["run_id"]!, "tester");
        Assert.That((await operators.PostAsync(Runs, Interval(0), "key-3")).Status, Is.EqualTo(201));
        (await operators.PostAsync(Runs, Interval(3), new string('x', 201))).Problem(400);
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task A_request_that_was_broken_off_is_done_again_or_known_to_be_done()
    {
        await using var server = await ApiServer.StartAsync();
        var operators = await server.WithKeyAsync(AccessRole.Operator);
        var export = await ModelFixture.NewHourlyAsync(server.Database);
        var body = Interval(0);
        await operators.PostAsync(Runs, body, "key-1");

        // The process died after the change, before the answer was kept.
        await server.Database.ExecuteAsync("update exports.request set finished_at = null, status = null, answer = null, begun_at = begun_at - interval '1 hour'");
        var done = (await operators.PostAsync(Runs, body, "key-1")).Problem(409);
        var run = await server.Database.ScalarAsync<Guid>("select run_id from exports.run");
        Assert.That(((string?)done["title"], (string?)done["subject_kind"], (string?)done["subject_id"]), Is.EqualTo(("Done already", "run", run.ToString())));

        // It died before the change: at first nobody knows, then somebody takes it over.
        await server.Database.ExecuteAsync("update exports.request set committed_at = null, subject_kind = null, subject_id = null, begun_at = engine.clock()");
        var waiting = await operators.PostAsync(Runs, body, "key-1");
        Assert.That((string?)waiting.Problem(409)["title"], Is.EqualTo("In progress"));
        Assert.That(waiting.RetryAfter, Is.Not.Null);
        await server.Database.Control.CancelAsync(run, "tester");
        await server.Database.ExecuteAsync("update exports.request set begun_at = begun_at - interval '1 hour'");
        Assert.That((await operators.PostAsync(Runs, body, "key-1")).Status, Is.EqualTo(201));

        // One that was frozen and goes on after the takeover changes nothing.
        var (mark, _) = await server.Requests.BeginAsync("somebody", "key-9", new byte[32], default);
        await server.Database.ExecuteAsync("update exports.request set begun_at = begun_at - interval '1 hour' where key = 'key-9'");
        var (taken, _) = await server.Requests.BeginAsync("somebody", "key-9", new byte[32], default);
        Assert.That(taken!.Epoch, Is.EqualTo(mark!.Epoch + 1));
        RequestMark.Current = mark;
        Assert.That(async () => await server.Database.Control.StartAsync(export, ModelFixture.Hour(5), "somebody"), Throws.TypeOf<RequestTakenOverException>());
        RequestMark.Current = null;
        Assert.That(await server.Database.ScalarAsync<long>("select count(*) from exports.run where interval_start = @Start", new { Start = ModelFixture.Hour(5).Start.UtcDateTime }), Is.Zero);
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task An_edit_of_what_somebody_else_has_changed_is_refused()
    {
        await using var server = await ApiServer.StartAsync();
        var admin = await server.WithKeyAsync(AccessRole.Admin);
        await ModelFixture.NewHourlyAsync(server.Database);
        const string Path = "projects/default/exports/hourly";
        var read = await admin.GetAsync(Path);
        var patch = new JsonObject { ["settings"] = new JsonObject { ["parallel_slices"] = 8 } };
        var dry = (await admin.PatchAsync(Path + "?dry_run=true", patch.DeepClone())).Json;
        Assert.That(((bool)dry["changed"]!, (string?)dry["changes"]![0]!["field"]), Is.EqualTo((false, "settings.parallel_slices")));
        var changed = await admin.PatchAsync(Path, patch.DeepClone(), read.ETag);
        Assert.That(((bool)changed.Json["changed"]!, (int)changed.Json["batch_export"]!["settings"]!["parallel_slices"]!), Is.EqualTo((true, 8)));
        Assert.That(changed.ETag, Is.Not.EqualTo(read.ETag));
        patch["settings"]!["parallel_slices"] = 16;
        (await admin.PatchAsync(Path, patch.DeepClone(), read.ETag)).Problem(412);
        (await admin.PatchAsync(Path, patch.DeepClone(), "\"none\"")).Problem(412);
        Assert.That((await admin.PatchAsync(Path, patch.DeepClone(), changed.ETag)).Status, Is.EqualTo(200));

        // A merge patch: what is null goes back to its default, what is not named stays.
        await admin.PatchAsync(Path, new JsonObject { ["settings"] = new JsonObject { ["max_rows_per_day"] = 5, ["parallel_slices"] = null }, ["schedule"] = new JsonObject { ["every"] = "2h" } });
        var after = (await admin.GetAsync(Path)).Json;
        Assert.That(
            ((int)after["settings"]!["parallel_slices"]!, (int)after["settings"]!["max_rows_per_day"]!, (string?)after["schedule"]!["every"], (string?)after["model"]!["table"]),
            Is.EqualTo((4, 5, "2h", "events")));

        const string Destination = "projects/default/destinations/bucket";
        var bucket = await admin.GetAsync(Destination);
        var secret = new JsonObject { ["secrets"] = new JsonObject { ["secret_key"] = "another-secret-of-theirs" } };
        var edited = await admin.PatchAsync(Destination + "?skip_test=true", secret.DeepClone(), bucket.ETag);
        Assert.That(edited.Status, Is.EqualTo(400), "the model's fixture has settings that s3 does not have");
        Assert.That(edited.Body, Does.Not.Contain("another-secret"));
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task An_export_is_made_steered_and_deleted()
    {
        await using var server = await ApiServer.StartAsync();
        var admin = await server.WithKeyAsync(AccessRole.Admin, project: null);
        var folder = Directory.CreateTempSubdirectory("exporter-api-");
        const string Exports = "projects/default/exports";
        try
        {
            var files = new JsonObject { ["name"] = "lake", ["kind"] = "files", ["settings"] = new JsonObject { ["root"] = folder.FullName } };
            Assert.That((await admin.PostAsync("projects/default/destinations/test", files.DeepClone())).Json["items"]!.AsArray().Select(check => (bool)check!["ok"]!), Is.All.True);
            var destination = await admin.PostAsync("projects/default/destinations", files.DeepClone());
            Assert.That((destination.Status, destination.Location), Is.EqualTo((201, "/api/v1/projects/default/destinations/lake")), destination.Body);
            Assert.That((await admin.PostAsync("projects/default/destinations/lake/test")).Json["items"]!.AsArray().Select(check => (bool)check!["ok"]!), Is.All.True);

            // A folder of the server is for who may do everything.
            files["name"] = "etc";
            (await (await server.WithKeyAsync(AccessRole.Admin)).PostAsync("projects/default/destinations?skip_test=true", files.DeepClone())).Problem(403);

            var export = new JsonObject
            {
                ["name"] = "events", ["destination"] = "lake", ["model"] = new JsonObject { ["table"] = "events", ["cursor_column"] = "at" }, ["schedule"] = new JsonObject { ["every"] = "1h" },
            };
            (await admin.PostAsync(Exports, export.DeepClone())).Problem(409);
            var made = await admin.PostAsync(Exports + "?skip_check=true", export.DeepClone());
            Assert.That(made.Status, Is.EqualTo(201), made.Body);
            (await admin.PostAsync(Exports + "?skip_check=true", export.DeepClone())).Problem(409);
            Assert.That((string?)(await admin.PostAsync(Exports + "/events/pause", new JsonObject { ["note"] = "moving" })).Json["note"], Is.EqualTo("moving"));
            Assert.That((bool)(await admin.PostAsync(Exports + "/events/unpause")).Json["batch_export"]!["paused"]!, Is.False);
            Assert.That((await admin.PostAsync(Exports + "/events/duplicate", new JsonObject { ["name"] = "copy", ["paused"] = true })).Status, Is.EqualTo(201));
            var run = (await admin.PostAsync(Exports + "/events/runs")).Json;
            var runPath = $"projects/default/runs/{run["run_id"]}";
            (await admin.PostAsync(runPath + "/retry")).Problem(409);
            (await admin.PostAsync(runPath + "/verify")).Problem(400);
            (await admin.PostAsync(runPath + "/rerun")).Problem(409);
            Assert.That((await admin.PostAsync(runPath + "/cancel")).Status, Is.EqualTo(200));
            (await admin.PostAsync(runPath + "/cancel")).Problem(409);
            Assert.That((await admin.PostAsync(runPath + "/rerun")).Status, Is.EqualTo(201));

            var backfill = await admin.PostAsync("projects/default/backfills", new JsonObject
            {
                ["export"] = "events", ["start"] = "2026-01-01T00:00:00Z", ["end"] = "2026-01-01T03:00:00Z", ["newest_first"] = true,
            });
            Assert.That(((int)backfill.Json["intervals"]!, (bool)backfill.Json["newest_first"]!), Is.EqualTo((3, true)));
            Assert.That((await admin.PostAsync($"projects/default/backfills/{backfill.Json["backfill_id"]}/pause")).Status, Is.EqualTo(200));
            Assert.That((await admin.PostAsync($"projects/default/backfills/{backfill.Json["backfill_id"]}/resume")).Status, Is.EqualTo(200));
            (await admin.PostAsync($"projects/default/backfills/{backfill.Json["backfill_id"]}/resume")).Problem(409);
            Assert.That((await admin.PostAsync($"projects/default/backfills/{backfill.Json["backfill_id"]}/cancel")).Status, Is.EqualTo(200));
            Assert.That((await admin.PostAsync(Exports + "/events/reset", new JsonObject { ["from"] = "2026-11-01T00:00:00Z" })).Status, Is.EqualTo(201));
            (await admin.PostAsync(Exports + "/events/verify")).Problem(400);
            (await admin.DeleteAsync("projects/default/destinations/lake")).Problem(409);
            Assert.That((string?)(await admin.DeleteAsync(Exports + "/events")).Json["deleted"], Is.EqualTo("events"));
            Assert.That((await admin.DeleteAsync(Exports + "/copy")).Status, Is.EqualTo(200));
            Assert.That((await admin.DeleteAsync("projects/default/destinations/lake")).Status, Is.EqualTo(204));
            Assert.That(server.Wrong(), Is.Empty);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Test]
    public async Task A_configuration_is_applied_and_what_it_does_not_say_of_secrets_stays()
    {
        await using var server = await ApiServer.StartAsync();
        var admin = await server.WithKeyAsync(AccessRole.Admin);
        const string Path = "projects/default/configuration";
        const string Secret = "s3cret-of-the-bucket";
        const string Yaml = """
            destinations:
              - name: bucket
                kind: s3
                bucket: events
                region: eu-central-1
                access_key: AKIAEXAMPLE
                secret_key: s3cret-of-the-bucket
            exports:
              - name: events
                destination: bucket
                model:
                  table: events
                  cursor_column: at
                schedule:
                  every: 1h
                paused: true
            """;
        Task<ApiResult> ApplyAsync(string query, string text, string type = "application/yaml") =>
            admin.SendAsync("POST", Path + query, new StringContent(text, new System.Net.Http.Headers.MediaTypeHeaderValue(type)), null);

        var plan = (await ApplyAsync("?dry_run=true", Yaml)).Json;
        Assert.That(((bool)plan["applied"]!, plan["steps"]!.AsArray().Count), Is.EqualTo((false, 2)));
        Assert.That((bool)(await ApplyAsync("?skip_test=true", Yaml)).Json["applied"]!, Is.True);
        Assert.That((await ApplyAsync("?skip_test=true", Yaml)).Json["steps"]!.AsArray(), Is.Empty);

        // What is read can be sent back: secrets are left out, and stay.
        var read = await admin.GetAsync(Path);
        Assert.That(read.Body, Does.Not.Contain(Secret).And.Not.Contain("secret_key"));
        Assert.That((await ApplyAsync("?skip_test=true", read.Body, "application/json")).Json["steps"]!.AsArray(), Is.Empty);
        var kept = await server.Database.Destinations.LoadAsync((await server.Database.Destinations.GetAsync("bucket")).DestinationId);
        Assert.That(kept.Secrets["secret_key"], Is.EqualTo(Secret));

        // A variable or a file would be the server's.
        (await ApplyAsync("", Yaml.Replace("secret_key: ", "secret_key_env: ", StringComparison.Ordinal))).Problem(400);
        (await ApplyAsync("", Yaml.Replace("secret_key: s3cret-of-the-bucket", "secret_key_file: /etc/passwd", StringComparison.Ordinal))).Problem(400);
        (await ApplyAsync("", Yaml + "\nwhat: 1")).Problem(400);
        (await ApplyAsync("", Yaml, "text/plain")).Problem(415);
        Assert.That((await ApplyAsync("?prune=true&skip_test=true", "{}")).Json["steps"]!.AsArray(), Has.Count.EqualTo(2));
        Assert.That(server.Wrong(), Is.Empty);
    }

    private static JsonObject Interval(int hour) => new() { ["start"] = ModelFixture.Hour(hour).Start.ToString("O"), ["end"] = ModelFixture.Hour(hour).End.ToString("O") };
}
