using Exporter.Engine.Client;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Npgsql;
using static Exporter.Exports.Tests.Model.ModelFixture;

namespace Exporter.Exports.Tests.Model;

public sealed class RunStoreTests
{
    [Test]
    public async Task A_run_is_visible_from_its_start_to_its_totals()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var runId = await database.Control.StartAsync(export, Hour(3), "tester");
        var queued = await database.Runs.GetAsync(runId);
        Assert.That((queued.State, queued.Slices, queued.Trigger, queued.Interval()), Is.EqualTo(("queued", (int?)null, "manual", Hour(3))));

        var half = Day.AddHours(3.5);
        await database.InTransactionAsync(async transaction =>
        {
            var order = await database.Runs.BeginAsync(transaction, runId, new ExportInput { BatchExportId = export.BatchExportId }, null, default);
            Assert.That(order.Interval, Is.EqualTo(Hour(3)));
            Assert.That(order.Export.Model.KeyColumns, Is.EqualTo(["uuid"]));
            await database.Runs.PlanAsync(
                transaction, runId, [Slice(new(Day.AddHours(3), half), 0, 5), Slice(new(half, Day.AddHours(4)), 1, 6)], null, default);
        });
        await database.InTransactionAsync(transaction => database.Runs.CommitSliceAsync(transaction, runId, Receipt(0, 5), 500, 1, 1, default));
        await database.Attempts.BeginAsync(new AttemptId(runId, 1, runId, 1, 1), default);
        await database.Attempts.FailAsync(new AttemptId(runId, 1, runId, 1, 1), new Moved(3, 300, 33), default);
        var planned = await database.Runs.GetAsync(runId);
        Assert.That(
            (planned.Slices, planned.SlicesCommitted, planned.ExpectedRows, planned.ExportedRows, planned.BytesWritten, planned.SourceBytes, planned.ResentBytes),
            Is.EqualTo(((int?)2, 1, (long?)11, 5L, 50L, 500L, 33L)));

        var early = await Assert.ThrowsAsync<InvalidOperationException>(
            () => database.InTransactionAsync(transaction => database.Runs.FinishAsync(transaction, runId, export.BatchExportId, 0, default)));
        Assert.That(early!.Message, Does.Contain("not committed"));
        await database.InTransactionAsync(transaction => database.Runs.CommitSliceAsync(transaction, runId, Receipt(1, 6), 600, 2, 1, default));
        await database.InTransactionAsync(transaction => database.Runs.FinishAsync(transaction, runId, export.BatchExportId, 1, default));
        var finished = await database.Runs.GetAsync(runId);
        Assert.That((finished.ExportedRows, finished.LateRows, finished.SlicesCommitted), Is.EqualTo((11L, (long?)1, 2)));
        var receipts = await database.Runs.ReceiptsAsync(runId);
        Assert.That(receipts, Is.EqualTo([Receipt(0, 5), Receipt(1, 6)]));
        Assert.That(await database.Runs.IsCoveredAsync(export.BatchExportId, Hour(3)), Is.True);
        Assert.That(await database.Runs.IsCoveredAsync(export.BatchExportId, Hour(4)), Is.False);
        var slices = await database.Runs.SlicesAsync(runId);
        Assert.That(slices.Select(slice => (slice.Slice, slice.State, slice.Attempt, slice.ResentBytes)), Is.EqualTo(
            [(0, "committed", (int?)1, 0L), (1, "committed", 2, 33L)]));
    }

    [Test]
    public async Task A_scheduled_run_gets_the_interval_that_ends_at_its_occurrence()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var input = new ExportInput { BatchExportId = export.BatchExportId };
        var handle = await database.Engine.StartAsync(ExportInput.Workflow, input, new StartOptions { Queue = ExportInput.Queue });
        for (var time = 0; time < 2; time++)
        {
            await database.InTransactionAsync(async transaction =>
            {
                var order = await database.Runs.BeginAsync(transaction, handle.RunId, input, Day.AddHours(5), default);
                Assert.That(order.Interval, Is.EqualTo(Hour(4)));
            });
        }

        Assert.That((await database.Runs.GetAsync(handle.RunId)).Trigger, Is.EqualTo("schedule"));
    }

    [Test]
    public async Task An_interval_is_moved_by_one_run_at_a_time()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var runs = await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            try
            {
                return await database.Control.StartAsync(export, Hour(3), "tester");
            }
            catch (UserErrorException)
            {
                return Guid.Empty;
            }
        }));
        var started = runs.Where(run => run != Guid.Empty).ToList();
        Assert.That(started, Has.Count.EqualTo(1));
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.runs"), Is.EqualTo(1), "a refused start leaves no run");

        await FinishInEngineAsync(database, started[0], "failed");
        var second = await database.Control.StartAsync(export, Hour(3), "tester");
        var error = await Assert.ThrowsAsync<UserErrorException>(() => database.Control.RetryAsync(started[0], "tester"));
        Assert.That(error!.Message, Does.Contain(second.ToString()));
    }

    [Test]
    public async Task Intervals_that_overlap_in_part_are_refused()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var runId = await database.Control.StartAsync(export, Hour(3), "tester");
        await CompleteAsync(database, runId, export, Hour(3));
        var both = new DataInterval(Day.AddHours(2), Day.AddHours(4));
        var error = await Assert.ThrowsAsync<UserErrorException>(() => database.Control.StartAsync(export, both, "tester"));
        Assert.That(error!.Message, Does.Contain(Hour(3).ToString()).And.Contain("twice"));
        await database.Control.StartAsync(export, Hour(2), "tester");
        await database.Control.StartAsync(export, Hour(4), "tester");
    }

    [Test]
    public async Task The_same_interval_again_replaces_its_coverage()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        await CompleteAsync(database, await database.Control.StartAsync(export, Hour(3), "tester"), export, Hour(3), rows: 7);
        var again = await database.Control.StartAsync(export, Hour(3), "tester");
        await CompleteAsync(database, again, export, Hour(3), rows: 8);
        Assert.That(await database.ScalarAsync<string>("select string_agg(run_id || ' ' || rows, ',') from exports.coverage"), Is.EqualTo($"{again} 8"));
    }

    [Test]
    public async Task A_run_needs_whole_intervals_that_have_ended()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var part = new DataInterval(Day, Day.AddMinutes(90));
        Assert.That(
            (await Assert.ThrowsAsync<UserErrorException>(() => database.Control.StartAsync(export, part, "tester")))!.Message,
            Does.Contain("2026-03-01T01:00:00Z or 2026-03-01T02:00:00Z"));
        var future = new DataInterval(Day, Day.AddYears(500));
        Assert.That((await Assert.ThrowsAsync<UserErrorException>(() => database.Control.StartAsync(export, future, "tester")))!.Setting, Is.EqualTo("end"));

        var runId = await database.Control.StartAsync(export, null, "tester");
        var interval = (await database.Runs.GetAsync(runId)).Interval();
        Assert.That(interval.End - interval.Start, Is.EqualTo(TimeSpan.FromHours(1)));
    }

    [Test]
    public async Task A_plan_never_changes()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var runId = await database.Control.StartAsync(export, Hour(3), "tester");
        Task Plan() => database.InTransactionAsync(transaction => database.Runs.PlanAsync(transaction, runId, [Slice(Hour(3), 0, 1)], null, default));
        await Plan();
        await Assert.ThrowsAsync<InvalidOperationException>(Plan);
    }

    [Test]
    public async Task Deleting_an_export_cancels_its_runs_and_its_schedule()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var runId = await database.Control.StartAsync(export, Hour(3), "tester");
        Assert.That(await database.Exports.DeleteAsync("hourly", "tester"), Is.EqualTo(1));
        Assert.That((await database.Runs.GetAsync(runId)).State, Is.EqualTo("cancelled"));
        Assert.That(await database.ScalarAsync<int>("select count(*) from engine.schedules"), Is.Zero);
        await Assert.ThrowsAsync<UserErrorException>(() => database.InTransactionAsync(
            transaction => database.Runs.BeginAsync(transaction, runId, new ExportInput { BatchExportId = export.BatchExportId }, null, default)));
    }

    [TestCase("update exports.run set interval_end = interval_start")]
    [TestCase("update exports.run set expected_rows = -1")]
    [TestCase("update exports.slice set state = 'committed'")]
    [TestCase("update exports.slice set rows = 1")]
    [TestCase("update exports.slice set hash_bucket = 1")]
    [TestCase("update exports.run set trigger = 'backfill'")]
    public async Task The_database_refuses(string sql)
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(database);
        var runId = await database.Control.StartAsync(export, Hour(3), "tester");
        await database.InTransactionAsync(transaction => database.Runs.PlanAsync(transaction, runId, [Slice(Hour(3), 0, 1)], null, default));
        var error = await Assert.ThrowsAsync<PostgresException>(() => database.ExecuteAsync(sql));
        Assert.That(error!.SqlState, Is.EqualTo(PostgresErrorCodes.CheckViolation));
    }
}
