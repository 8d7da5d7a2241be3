using System.Text.Json.Nodes;
using Exporter.Engine.Tests;

namespace Exporter.Exports.Tests.Cli;

/// <summary>The life of an export as its operator types it, with a real worker: edited, run again, reset, copied; then the rows are counted.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class ExportLifeTests
{
    private const int Rows = 4000;
    private CliServers _servers = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _servers = await CliServers.StartAsync(Rows);
        _ = (await _servers.Cli.RunAsync("migrate")).Answer;
        _ = (await _servers.Cli.RunAsync("destination", "create", "files", "lake", "--root", _servers.Root)).Answer;
        _ = (await _servers.Cli.RunAsync(
            "export", "create", "events", "--destination", "lake", "--table", "events", "--cursor-column", "at", "--key", "id", "--every", "1h", "--paused")).Answer;
    }

    [OneTimeTearDown]
    public async Task EndAsync() => await (_servers?.DisposeAsync() ?? ValueTask.CompletedTask);

    [Test]
    public async Task An_interval_exported_again_after_an_edit_takes_the_place_of_the_old_files()
    {
        await using var worker = await _servers.StartWorkerAsync();
        var plan = JsonNode.Parse((await _servers.Cli.RunAsync("backfill", "plan", "events", "--end", "2026-03-01T04:00Z", "--json")).Answer)!;
        Assert.That(plan["range"]!["start"]!.GetValue<DateTimeOffset>(), Is.EqualTo(new DateTimeOffset(2026, 3, 1, 0, 0, 0, TimeSpan.Zero)), "where the earliest row is");
        Assert.That(
            (plan["intervals"]!.GetValue<int>(), plan["covered"]!.GetValue<int>(), plan["runs"]!.GetValue<int>(), plan["rows"]!.GetValue<long>(), plan["time"]),
            Is.EqualTo((4, 0, 4, (long)Rows, (JsonNode?)null)));
        Assert.That(plan["each"]!.AsArray().Select(one => one!["rows"]!.GetValue<int>()), Is.All.EqualTo(Rows / 4));
        _ = (await _servers.Cli.RunAsync("backfill", "create", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T04:00Z", "--parallel", "4", "--wait")).Answer;
        Assert.That(await CountAsync("**/*.parquet", "Parquet"), Is.EqualTo($"{Rows} {Rows}"));
        plan = JsonNode.Parse((await _servers.Cli.RunAsync("backfill", "plan", "events", "--end", "2026-03-01T04:00Z", "--json")).Answer)!;
        Assert.That((plan["covered"]!.GetValue<int>(), plan["runs"]!.GetValue<int>(), plan["rows"]!.GetValue<long>()), Is.EqualTo((4, 0, 0L)), "nothing is left to do");
        var again = JsonNode.Parse((await _servers.Cli.RunAsync("backfill", "create", "events", "--end", "2026-03-01T04:00Z", "--wait", "--json")).Answer)!;
        Assert.That((again["state"]!.ToString(), again["intervals_started"]!.GetValue<int>()), Is.EqualTo(("completed", 0)), "what is there is left out");
        var one = await _servers.Cli.RunAsync("export", "plan", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z");
        Assert.That(one.Answer, Does.Contain("1,000").And.Contain("id UInt64"));
        Assert.That(one.Answer, Does.Contain("at the pace of the latest runs"));

        var dry = await _servers.Cli.RunAsync("export", "edit", "events", "--format", "json_lines", "--compression", "gzip", "--filter", "id % 2 = 0", "--dry-run");
        Assert.That(dry.Answer, Does.Contain("format.format").And.Contain("parquet -> json_lines").And.Contain("model.filter").And.Contain("--dry-run"));
        _ = (await _servers.Cli.RunAsync("export", "edit", "events", "--format", "json_lines", "--compression", "gzip", "--filter", "id % 2 = 0")).Answer;
        Assert.That((await _servers.Cli.RunAsync("export", "edit", "events", "--compression", "gzip")).Answer, Does.Contain("is so already"));

        // A quarter again by hand, the rest by a reset. Each takes the place of what was there, in another format and with fewer rows.
        _ = (await _servers.Cli.RunAsync("export", "run", "events", "--start", "2026-03-01T00:00Z", "--end", "2026-03-01T01:00Z", "--wait")).Answer;
        Assert.That(await CountAsync("**/*.parquet", "Parquet"), Is.EqualTo($"{Rows * 3 / 4} {Rows * 3 / 4}"));
        _ = (await _servers.Cli.RunAsync("export", "edit", "events", "--unset", "filter", "--skip-check")).Answer;
        var reset = JsonNode.Parse((await _servers.Cli.RunAsync("export", "reset", "events", "--from", "2026-03-01", "--parallel", "4", "--json")).Answer)!;
        await Eventually.TrueAsync(
            async () => (await _servers.AskAsync("select count(*) from exports.coverage where interval_start < '2026-03-01 04:00Z' and committed_at > "
                + $"(select created_at from exports.backfills where backfill_id = '{reset["backfill_id"]}')"))[0] == "4",
            "the four hours are there again");
        _ = (await _servers.Cli.RunAsync("backfill", "cancel", reset["backfill_id"]!.ToString())).Answer;

        Assert.That(await CountAsync("**/*.jsonl.gz", "JSONEachRow"), Is.EqualTo($"{Rows} {Rows}"), "all rows, each once");
        Assert.That(Directory.GetFiles(_servers.Root, "*.parquet", SearchOption.AllDirectories), Is.Empty, "no file of the old format");

        var audit = await _servers.Cli.RunAsync("audit", "list", "--name", "events");
        Assert.That(audit.Answer, Does.Contain("reset").And.Contain("format.format: parquet -> json_lines").And.Contain("model.filter: none -> id % 2 = 0"));
    }

    [Test]
    public async Task Words_that_ask_for_nothing_sensible_are_refused_in_a_sentence()
    {
        foreach (var (words, named) in new (string[], string)[]
        {
            (["export", "edit", "events", "--unset", "table"], "unset"),
            (["export", "edit", "events", "--csv-null", "-"], "use csv"),
            (["export", "edit", "events", "--column", "no_such_column", "--format", "parquet"], "no_such_column"),
            (["export", "edit", "events", "--parallel-slices", "65"], "parallel"),
            (["export", "reset", "events", "--from", "2026-03-01T00:30Z"], "boundary"),
            (["export", "duplicate", "events", "events"], "name"),
            (["export", "unpause", "events", "--catch-up", "--no-catch-up"], "catch"),
            (["audit", "list", "--limit", "0"], "limit"),
            (["export", "plan", "events", "--start", "2026-03-01T00:30Z", "--end", "2026-03-01T01:00Z"], "boundary"),
            (["backfill", "plan", "nothing"], "nothing"),
            (["destination", "edit", "lake", "--set", "root"], "="),
            (["destination", "edit", "lake", "--set", "folder=/tmp"], "folder"),
            (["destination", "edit", "lake", "--set", "root=/no/such/folder"], "/no/such/folder"),
            (["destination", "edit", "lake", "--set", "mounted=perhaps"], "mounted"),
            (["destination", "edit", "lake", "--secret-env", "root=X"], "no secret"),
            (["destination", "edit", "lake", "--unset", "root"], "root"),
        })
        {
            var result = await _servers.Cli.RunAsync(words);
            Assert.That((result.Status, result.Out), Is.EqualTo((2, "")), string.Join(' ', words) + result.Error);
            Assert.That(result.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1), result.Error);
            Assert.That(result.Error, Does.Contain(named).IgnoreCase, string.Join(' ', words));
        }
    }

    private async Task<string> CountAsync(string files, string format)
    {
        var clickHouse = await TestServers.ClickHouseAsync();
        return (await clickHouse.ExecuteAsync(
            $"SELECT concat(toString(count()), ' ', toString(uniqExact(id))) FROM file('{_servers.Root}/{files}', '{format}'{(format == "Parquet" ? "" : ", 'id UInt64'")})")).Trim();
    }
}
