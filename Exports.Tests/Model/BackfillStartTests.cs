using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

/// <summary>What a backfill does with an interval: it starts a run once, leaves out what is there, and waits for who exports it.</summary>
internal sealed class BackfillStartTests
{
    [Test]
    public async Task A_covered_interval_is_left_out_and_leaves_no_run()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        var covering = await database.Control.StartAsync(export, ModelFixture.Hour(3), "tester");
        await ModelFixture.CompleteAsync(database, covering, export, ModelFixture.Hour(3));
        var backfill = await NewAsync(database, export, replace: false);

        var start = await database.Control.StartForBackfillAsync(backfill, ModelFixture.Hour(3), default);

        Assert.That(start, Is.EqualTo(new BackfillStart(null)));
        Assert.That(await RunsAsync(database), Is.EqualTo(1), "the run that covers it");
    }

    [Test]
    public async Task A_covered_interval_that_is_to_be_replaced_is_exported_again_by_one_run_whoever_asks_how_often()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        var covering = await database.Control.StartAsync(export, ModelFixture.Hour(3), "tester");
        await ModelFixture.CompleteAsync(database, covering, export, ModelFixture.Hour(3));
        var backfill = await NewAsync(database, export, replace: true);

        var start = await database.Control.StartForBackfillAsync(backfill, ModelFixture.Hour(3), default);

        Assert.That(start!.RunId, Is.Not.Null.And.Not.EqualTo(covering));
        Assert.That(await database.Control.StartForBackfillAsync(backfill, ModelFixture.Hour(3), default), Is.EqualTo(start));
        Assert.That(await RunsAsync(database), Is.EqualTo(2));
    }

    [Test]
    public async Task An_interval_that_another_run_is_exporting_is_waited_for_and_leaves_no_run()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        var other = await database.Control.StartAsync(export, ModelFixture.Hour(3), "tester");
        var backfill = await NewAsync(database, export, replace: true);
        Assert.That(await database.Control.StartForBackfillAsync(backfill, ModelFixture.Hour(3), default), Is.Null);
        Assert.That(await RunsAsync(database), Is.EqualTo(1));

        await ModelFixture.CompleteAsync(database, other, export, ModelFixture.Hour(3));
        Assert.That((await database.Control.StartForBackfillAsync(backfill, ModelFixture.Hour(3), default))!.RunId, Is.Not.Null);
    }

    private static Task<BackfillView> NewAsync(TestDatabase database, BatchExportView export, bool replace) => database.Backfills.CreateAsync(
        new Backfill { BatchExportId = export.BatchExportId, Range = new DataInterval(ModelFixture.Hour(2).Start, ModelFixture.Hour(5).End), Replace = replace },
        export,
        "tester");

    // Of the engine and of the exports: the one is never without the other.
    private static async Task<long> RunsAsync(TestDatabase database)
    {
        var runs = await database.ScalarAsync<long>("select count(*) from exports.run");
        Assert.That(await database.ScalarAsync<long>($"select count(*) from engine.runs where workflow = '{ExportInput.Workflow}'"), Is.EqualTo(runs));
        return runs;
    }
}
