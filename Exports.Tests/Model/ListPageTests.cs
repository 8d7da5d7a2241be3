using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

/// <summary>Lists in pages: each goes on behind the last one of the page before, and has nothing twice.</summary>
internal sealed class ListPageTests
{
    [Test]
    public async Task Names_go_on_behind_a_name()
    {
        await using var database = await TestDatabase.NewAsync();
        foreach (var name in new[] { "c", "a", "b" })
        {
            await database.Destinations.CreateAsync(ModelFixture.Bucket(name), "tester");
            await database.Exports.CreateAsync(ModelFixture.Hourly(name), name, "tester");
        }

        Assert.That((await database.Destinations.ListAsync(null, 2)).Select(one => one.Name), Is.EqualTo(new[] { "a", "b" }));
        Assert.That((await database.Destinations.ListAsync("b", 2)).Select(one => one.Name), Is.EqualTo(new[] { "c" }));
        Assert.That((await database.Exports.ListAsync(null, 2)).Select(one => one.Name), Is.EqualTo(new[] { "a", "b" }));
        Assert.That((await database.Exports.ListAsync("b", null)).Select(one => one.Name), Is.EqualTo(new[] { "c" }));
    }

    [Test]
    public async Task Runs_and_backfills_go_on_behind_a_place()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        var (runs, backfills) = (new List<Guid>(), new List<Guid>());
        for (var hour = 0; hour < 5; hour++)
        {
            runs.Insert(0, await database.Control.StartAsync(export, ModelFixture.Hour(hour), "tester"));
            var backfill = new Backfill { BatchExportId = export.BatchExportId, Range = ModelFixture.Hour(hour) };
            backfills.Insert(0, (await database.Backfills.CreateAsync(backfill, export, "tester")).BackfillId);
        }

        Assert.That(await PagesAsync<RunView>(after => database.Runs.ListAsync(new RunFilter { After = after, Limit = 2 }), one => new(one.CreatedAt, one.RunId)), Is.EqualTo(runs));
        Assert.That(
            await PagesAsync<BackfillView>(after => database.Backfills.ListAsync(new BackfillFilter { After = after, Limit = 2 }), one => new(one.CreatedAt, one.BackfillId)),
            Is.EqualTo(backfills));
    }

    private static async Task<List<Guid>> PagesAsync<T>(Func<ListPlace?, Task<IReadOnlyList<T>>> list, Func<T, ListPlace> place)
    {
        var all = new List<Guid>();
        ListPlace? last = null;
        while (await list(last) is { Count: > 0 } page)
        {
            Assert.That(page, Has.Count.LessThanOrEqualTo(2));
            all.AddRange(page.Select(one => place(one).Id));
            last = place(page[^1]);
        }

        return all;
    }
}
