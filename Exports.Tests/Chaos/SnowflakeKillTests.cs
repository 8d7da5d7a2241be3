using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class SnowflakeKillTests : WarehouseKillTests
{
    private SnowflakeServer _target = null!;

    [TestCase("COPY", false)]
    [TestCase("COMMITTED_IN", true)]
    public Task Every_row_is_in_Snowflake_once_after_a_worker_was_killed_in_the_midst_of(string statement, bool executed) => KillAsync((statement, 2, executed));

    [Test]
    public Task A_worker_frozen_in_mid_commit_that_wakes_after_another_has_finished_adds_no_row() => FreezeAsync("COPY", 3);

    protected override async Task<Destination> StartAsync()
    {
        _target = await SnowflakeServer.StartAsync(await TestServers.S3Async());
        return _target.Configured();
    }

    protected override Task StopAsync() => _target.DisposeAsync().AsTask();

    protected override void AtStatement(string statement, int time, StatementFate fate, Func<Task> act)
    {
        var left = time;
        _target.Fault = call => call.Text.Contains(statement, StringComparison.Ordinal) && Interlocked.Decrement(ref left) == 0
            ? new SnowflakeFault { Executes = fate == StatementFate.Executed, Polls = fate == StatementFate.Executed ? null : 0, Waits = act() }
            : null;
    }

    protected override async Task<long> CountAsync() => (await _target.ListAsync("SELECT 1 FROM \"ANALYTICS\".\"PUBLIC\".\"EVENTS\"")).Count;

    protected override async Task<string> SumsAsync() => (await _target.ListAsync(
        "SELECT concat(count(*), '|', sum(\"ID\"), '|', md5(string_agg(concat(\"TEXT\", \"PROPS\"->>'$.n', epoch_us(\"TIMESTAMP\")), '' ORDER BY \"ID\"))) FROM \"ANALYTICS\".\"PUBLIC\".\"EVENTS\""))[0]!;

    // The first is the documentation's query.
    protected override async Task<IReadOnlyList<string>> LeftAsync() =>
    [
        .. (await _target.ListAsync(
            """
            SELECT c."SLICE" FROM "ANALYTICS"."PUBLIC"."_EXPORTER_COMMITS" c LEFT JOIN "ANALYTICS"."PUBLIC"."EVENTS" e ON e."_EXPORTER_COMMIT" = c."COMMIT_ID"
            GROUP BY c."SLICE", c."ROW_COUNT" HAVING COUNT(e."_EXPORTER_COMMIT") <> c."ROW_COUNT"
            """)).Select(slice => slice!),
        .. await _target.StagedAsync(),
        .. (await _target.ListAsync("SELECT table_name FROM information_schema.tables WHERE table_name LIKE '\\_EXPORTER\\_STAGE%' ESCAPE '\\'")).Select(table => table!),
    ];
}
