using System.Text.Json.Nodes;
using Exporter.Engine.Tests;
using Exporter.Exports.Cli;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>What a run asks of ClickHouse says whose it is, and ends with the run.</summary>
public sealed class CancelTests
{
    private const int Rows = 8_000;
    private RunFixture _fixture = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64, text String",
            $"SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 10), number, repeat('x', 100) FROM numbers({Rows})");
    }

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    [Test]
    public async Task A_cancelled_run_kills_the_queries_of_its_slices_which_say_whose_they_are_and_was_seen_live()
    {
        var export = RunFixture.Export();
        var runId = await _fixture.StartRunAsync(export with
        {
            Model = export.Model with { Columns = [new("id", "id"), new("text", "text"), new("sleepEachRow(0.002)", "slow")] },
            Settings = export.Settings with { TargetSliceBytes = 100_000, ParallelSlices = 1 },
        });
        var seen = "";
        await Eventually.TrueAsync(
            async () => (seen = RunProgress.Text(await _fixture.Database.Runs.GetAsync(runId), await _fixture.Database.Attempts.ProgressAsync(runId))).Contains("rows/s", StringComparison.Ordinal),
            "there is a pace");
        Assert.That(seen, Does.Match(@"^\d+ of \d+ slices, [\d,]+ of 8,000 rows, [\d,]+ rows/s, \d+ (s|min) left$"));
        await CancelAsync(runId, "[0-9]+");
        var comment = await CommentAsync(runId, "[0-9]+");
        Assert.That(
            ((string?)comment["export"], (Guid?)comment["run"], (int?)comment["slice"] >= 0, (int?)comment["attempt"], (long?)comment["epoch"]),
            Is.EqualTo(("daily", (Guid?)runId, true, (int?)1, (long?)1)));
    }

    [Test]
    public async Task A_run_that_is_cancelled_while_it_plans_kills_what_it_counts_with()
    {
        var export = RunFixture.Export();
        var runId = await _fixture.StartRunAsync(export with { Model = export.Model with { Filter = "sleepEachRow(0.003) = 0" } });
        await CancelAsync(runId, "plan");
        var comment = await CommentAsync(runId, "plan");
        Assert.That(((string?)comment["export"], (Guid?)comment["run"], (string?)comment["part"]), Is.EqualTo(("daily", (Guid?)runId, "plan")));
    }

    // Until a query of that part runs; afterwards ClickHouse has none any more, and says that one was broken off.
    private async Task CancelAsync(Guid runId, string part)
    {
        await Eventually.TrueAsync(async () => await CountAsync("system.processes", $"elapsed > 0.3 AND {Of(runId, part)}") != "0", "a query runs");
        Assert.That(await _fixture.Database.Control.CancelAsync(runId, "tester"), Is.True);
        Assert.That((await _fixture.EndedRunAsync(runId)).State, Is.EqualTo("cancelled"));
        await Eventually.TrueAsync(async () => await CountAsync("system.processes", Of(runId, ".+")) == "0", "no query of the run is left");
        await _fixture.Server.ExecuteAsync("SYSTEM FLUSH LOGS query_log");
        Assert.That(await CountAsync("system.query_log", $"type = 'ExceptionWhileProcessing' AND {Of(runId, part)}"), Is.EqualTo("1"), "and it did not end by itself");
    }

    private async Task<JsonNode> CommentAsync(Guid runId, string part) =>
        JsonNode.Parse(await _fixture.Server.ExecuteAsync($"SELECT any(log_comment) FROM system.query_log WHERE {Of(runId, part)} FORMAT TSVRaw"))!;

    private Task<string> CountAsync(string table, string condition) => _fixture.Server.ExecuteAsync($"SELECT count() FROM {table} WHERE {condition}");

    private static string Of(Guid runId, string part) => $"match(query_id, '^exporter-{runId:N}-{part}-[0-9]')";
}
