using Exporter.Exports.Model;
using Exporter.Exports.Tests.Model;

namespace Exporter.Exports.Tests.Api;

/// <summary>What is there can be read, in pages, by who may, and by nobody else.</summary>
internal sealed class ReadTests
{
    [Test]
    public async Task What_is_there_is_answered_as_the_command_line_answers_it()
    {
        await using var server = await ApiServer.StartAsync();
        var viewer = await server.WithKeyAsync(AccessRole.Viewer);
        var export = await ModelFixture.NewHourlyAsync(server.Database);
        var run = await server.Database.Control.StartAsync(export, ModelFixture.Hour(0), "tester");
        await ModelFixture.CompleteAsync(server.Database, run, export, ModelFixture.Hour(0));
        var backfill = await server.Database.Backfills.CreateAsync(
            new Backfill { BatchExportId = export.BatchExportId, Range = new DataInterval(ModelFixture.Day, ModelFixture.Day.AddHours(3)) }, export, "tester");

        var one = await viewer.GetAsync("projects/default/exports/hourly");
        Assert.That(((string?)one.Json["name"], (string?)one.Json["destination"], (string?)one.Json["schedule"]!["every"]), Is.EqualTo(("hourly", "bucket", "1h")));
        Assert.That(one.ETag, Is.Not.Null);
        Assert.That((string?)(await viewer.GetAsync("projects/default/exports/hourly/query")).Json["sql"], Does.Contain("FROM"));
        Assert.That((await viewer.GetAsync("projects/default/exports/hourly/missed")).Json["missed"], Is.Null);
        var covered = (await viewer.GetAsync("projects/default/exports/hourly/coverage")).Json["items"]!.AsArray().Single()!;
        Assert.That(((Guid)covered["run_id"]!, (int)covered["rows"]!), Is.EqualTo((run, 7)));
        var detail = (await viewer.GetAsync($"projects/default/runs/{run}")).Json;
        Assert.That(((string?)detail["run"]!["state"], (int)detail["run"]!["exported_rows"]!, detail["progress"]), Is.EqualTo(("completed", 7, (object?)null)));
        foreach (var (part, count) in new[] { ("slices", 1), ("attempts", 0), ("verifications", 0), ("log", 0), ("bad-rows", 0) })
        {
            Assert.That((await viewer.GetAsync($"projects/default/runs/{run}/{part}")).Json["items"]!.AsArray(), Has.Count.EqualTo(count), part);
        }

        Assert.That((string?)(await viewer.GetAsync($"projects/default/backfills/{backfill.BackfillId}")).Json["backfill"]!["batch_export"], Is.EqualTo("hourly"));
        Assert.That((await viewer.GetAsync("projects/default/backfills?export=hourly")).Json["items"]!.AsArray(), Has.Count.EqualTo(1));
        Assert.That((await viewer.GetAsync("projects/default/dead-letters")).Json["items"]!.AsArray(), Is.Empty);
        Assert.That((await viewer.GetAsync("projects/default/audit?by=tester&limit=1")).Json["items"]![0]!["entry"]!["kind"]!.ToString(), Is.EqualTo("backfill"));
        Assert.That((await viewer.GetAsync("destination-kinds")).Json["items"]!.AsArray().Select(kind => (string?)kind!["name"]), Does.Contain("s3"));
        Assert.That((await viewer.GetAsync("projects")).Json["items"]!.AsArray().Select(project => (string?)project!["name"]), Is.EqualTo(new[] { "default" }));
        var configuration = (await viewer.GetAsync("projects/default/configuration")).Json;
        Assert.That((string?)configuration["exports"]![0]!["name"], Is.EqualTo("hourly"));
        Assert.That(configuration.ToJsonString() + (await viewer.GetAsync("projects/default/destinations/bucket")).Body, Does.Not.Contain(ModelFixture.Secret));

        var everywhere = await server.WithKeyAsync(AccessRole.Viewer, project: null);
        Assert.That((await everywhere.GetAsync("engine/queues")).Json["items"]!.AsArray().Select(queue => (string?)queue!["queue"]), Does.Contain("backfills"));
        Assert.That((await everywhere.GetAsync("engine/workers")).Json["items"]!.AsArray(), Is.Empty);
        Assert.That((string?)(await everywhere.GetAsync("engine/schedules")).Json["items"]![0]!["batch_export"], Is.EqualTo("hourly"));
        Assert.That(server.Wrong(), Is.Empty);
    }

    [Test]
    public async Task Lists_come_in_pages_without_a_gap_or_a_repeat()
    {
        await using var server = await ApiServer.StartAsync();
        var viewer = await server.WithKeyAsync(AccessRole.Viewer);
        var export = await ModelFixture.NewHourlyAsync(server.Database);
        for (var i = 0; i < 4; i++)
        {
            await server.Database.Exports.DuplicateAsync("hourly", $"hourly-{i}", null, paused: true, "tester");
            await server.Database.Control.StartAsync(export, ModelFixture.Hour(i), "tester");
        }

        foreach (var (path, name, count) in new[] { ("exports", "name", 5), ("runs", "run_id", 4), ("audit", "", 11) })
        {
            var seen = new List<string>();
            for (string? cursor = null; ;)
            {
                var page = (await viewer.GetAsync($"projects/default/{path}?limit=2{(cursor is null ? "" : "&cursor=" + cursor)}")).Json;
                seen.AddRange(page["items"]!.AsArray().Select(item => name.Length > 0 ? item![name]!.ToString() : item!["entry"]!["audit_id"]!.ToString()));
                cursor = (string?)page["next_cursor"];
                if (cursor is null)
                {
                    break;
                }

                Assert.That(page["items"]!.AsArray(), Has.Count.EqualTo(2));
            }

            Assert.That(seen, Has.Count.EqualTo(count).And.Unique, path);
        }

        foreach (var wrong in new[] { "limit=0", "limit=201", "limit=x", "limit=1&limit=2", "cursor=no", "cursor=e30", "state=gone", "backfill_id=1", "unknown=1" })
        {
            (await viewer.GetAsync($"projects/default/runs?{wrong}")).Problem(400);
        }
    }

    [Test]
    public async Task What_is_in_another_project_is_not_there()
    {
        await using var server = await ApiServer.StartAsync();
        await new ProjectStore(server.Database.Data).CreateAsync("billing", "tester");
        var billing = await server.WithKeyAsync(AccessRole.Admin, "billing");
        var everywhere = await server.WithKeyAsync(AccessRole.Admin, project: null);
        var export = await ModelFixture.NewHourlyAsync(server.Database);
        var run = await server.Database.Control.StartAsync(export, ModelFixture.Hour(0), "tester");
        foreach (var path in new[] { $"runs/{run}", $"runs/{run}/slices", $"runs/{run}/events", $"backfills/{run}", "exports/hourly", "destinations/bucket", $"runs/{Guid.Empty}", "runs/none" })
        {
            (await billing.GetAsync("projects/billing/" + path)).Problem(404);
            (await billing.GetAsync("projects/default/" + path)).Problem(403);
        }

        (await billing.PostAsync($"projects/billing/runs/{run}/cancel")).Problem(404);
        (await billing.GetAsync("projects/nowhere/exports")).Problem(403);
        (await everywhere.GetAsync("projects/nowhere/exports")).Problem(404);
        Assert.That((await billing.GetAsync("projects")).Json["items"]!.AsArray().Select(project => (string?)project!["name"]), Is.EqualTo(new[] { "billing" }));
        Assert.That((await billing.GetAsync("projects/billing/audit")).Body, Does.Not.Contain("hourly"));
        Assert.That((await server.Database.Runs.GetAsync(run)).CancelRequestedAt, Is.Null);
        Assert.That(server.Wrong(), Is.Empty);
    }
}
