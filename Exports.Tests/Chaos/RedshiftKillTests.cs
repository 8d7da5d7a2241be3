using Exporter.Exports.Model;
using Exporter.Exports.Tests.Doubles;

namespace Exporter.Exports.Tests.Chaos;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RedshiftKillTests : WarehouseKillTests
{
    private RedshiftServer _target = null!;

    // At COPY the server finds its client gone; a transaction that has come whole is done whole.
    [TestCase("COPY", false)]
    [TestCase("SET commit_id", true)]
    public Task Every_row_is_in_Redshift_once_after_a_worker_was_killed_in_the_midst_of(string statement, bool executed) => KillAsync((statement, 2, executed));

    [Test]
    public Task A_worker_frozen_before_its_commit_that_wakes_after_another_has_finished_adds_no_row() => FreezeAsync("COPY", 3);

    protected override async Task<Destination> StartAsync()
    {
        _target = await RedshiftServer.StartAsync(await TestServers.S3Async(), await TestServers.NewPostgresAsync());
        return _target.Configured();
    }

    protected override Task StopAsync() => _target.DisposeAsync().AsTask();

    protected override void AtStatement(string statement, int time, StatementFate fate, Func<Task> act)
    {
        var left = time;
        _target.Fault = call => call.Text.Contains(statement, StringComparison.Ordinal) && Interlocked.Decrement(ref left) == 0
            ? new RedshiftFault { Cut = fate == StatementFate.Executed ? RedshiftCut.Client : RedshiftCut.None, Waits = act() }
            : null;
    }

    protected override async Task<long> CountAsync() => (await _target.ListAsync<long>("select count(*) from events"))[0];

    protected override async Task<string> SumsAsync() => (await _target.ListAsync<string>(
        "select concat(count(*), '|', sum(id), '|', md5(string_agg(concat(text, props ->> 'n', (extract(epoch from timestamp) * 1000000)::bigint), '' order by id))) from events"))[0];

    // The first is the documentation's query.
    protected override async Task<IReadOnlyList<string>> LeftAsync() =>
    [
        .. await _target.ListAsync<string>(
            """
            select c.slice || ': ' || c.row_count from _exporter_commits c left join events e on e._exporter_commit = c.commit_id
            where c.export = 'events' group by c.interval_key, c.slice, c.row_count having count(e._exporter_commit) <> c.row_count
            """),
        .. await _target.StagedAsync(),
    ];
}
