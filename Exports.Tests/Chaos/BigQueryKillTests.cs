using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>In the midst of an upload and of the transaction, with BigQuery's double.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class BigQueryKillTests : WarehouseKillTests
{
    private const string Upload = "upload.put";
    private BigQueryServer _target = null!;

    [Test]
    public Task Every_row_is_in_BigQuery_once_after_workers_were_killed_in_the_midst_of_an_upload_and_of_a_commit() =>
        KillAsync((Upload, 2, false), ("SET `committed_at`", 2, true));

    [Test]
    public Task A_worker_frozen_in_mid_commit_that_wakes_after_another_has_finished_adds_no_row() => FreezeAsync(Upload, 3);

    protected override async Task<Destination> StartAsync()
    {
        _target = await BigQueryServer.StartAsync();
        return _target.Configured();
    }

    protected override Task StopAsync() => _target.DisposeAsync().AsTask();

    protected override void AtStatement(string statement, int time, StatementFate fate, Func<Task> act)
    {
        var left = time;
        _target.Fault = call => (statement == Upload ? call.Kind == Upload : call.Text.Contains(statement, StringComparison.Ordinal)) && Interlocked.Decrement(ref left) == 0
            ? new BigQueryFault { Executes = fate == StatementFate.Executed, Polls = fate == StatementFate.Answered ? 0 : null, Waits = act() }
            : null;
    }

    protected override async Task<long> CountAsync() => (await _target.ListAsync("SELECT 1 FROM \"test-project\".analytics.events")).Count;

    protected override async Task<string> SumsAsync() => (await _target.ListAsync(
        """
        SELECT concat(count(*), '|', sum(id), '|', md5(string_agg(concat(text, props->>'$.n', epoch_us(timestamp)), '' ORDER BY id)))
        FROM (SELECT * REPLACE (CAST(id AS BIGINT) AS id) FROM "test-project".analytics.events)
        """))[0]!;

    // The first is the documentation's query.
    protected override async Task<IReadOnlyList<string>> LeftAsync() =>
    [
        .. (await _target.ListAsync(
            """
            SELECT c.slice FROM "test-project".analytics._exporter_commits_events AS c LEFT JOIN "test-project".analytics.events AS e ON e._exporter_commit = c.claim_id
            WHERE c.committed_at IS NOT NULL GROUP BY c.slice, c.claim_id, c.row_count HAVING COUNT(e._exporter_commit) <> c.row_count
            """)).Select(slice => slice!),
        .. _target.Tables.All.Keys.Where(name => name.StartsWith("_exporter_stage", StringComparison.Ordinal)),
    ];
}
