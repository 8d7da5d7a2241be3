using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

/// <summary>Two projects may use the same names and never see, change or overwrite each other's.</summary>
internal sealed class ProjectTests
{
    [Test]
    public async Task Names_are_those_of_a_project_and_the_same_name_in_another_is_something_else()
    {
        await using var database = await TestDatabase.NewAsync();
        var projects = new ProjectStore(database.Data);
        Assert.That((await projects.ListAsync()).Select(one => one.Name), Is.EqualTo(new[] { ProjectStore.Default }));
        await projects.CreateAsync("billing", "ann");
        var (destinations, exports) = (database.Destinations.In("billing"), database.Exports.In("billing"));

        // The destination of another project is none of this one's.
        await database.Destinations.CreateAsync(Files("lake"), "ann");
        Assert.That(
            async () => await exports.CreateAsync(Export("events"), "lake", "ann"),
            Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Reason)).EqualTo(UserErrorReason.NotFound));
        await destinations.CreateAsync(Files("lake"), "bob");
        await database.Exports.CreateAsync(Export("events"), "lake", "ann");
        var other = await exports.CreateAsync(Export("events"), "lake", "bob");
        Assert.That(
            async () => await exports.CreateAsync(Export("events"), "lake", "bob"),
            Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Reason)).EqualTo(UserErrorReason.Conflict));

        await exports.PauseAsync("events", "theirs", "bob");
        Assert.That((await database.Exports.GetAsync("events")).Paused, Is.False, "the one of the other project");
        Assert.That((await exports.ListAsync()).Select(one => (one.BatchExportId, one.Project)), Is.EqualTo(new[] { (other.BatchExportId, "billing") }));

        // Rows of both may go to the same bucket: their places are apart, and that of the usual project is what it always was.
        Assert.That(
            ((await database.Exports.GetAsync("events")).ToBatchExport().PlaceName, (await exports.GetAsync("events")).ToBatchExport().PlaceName),
            Is.EqualTo(("events", "billing/events")));
        var keys = new SliceKeys("prefix", "", ".parquet");
        var interval = new DataInterval(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddHours(1));
        Assert.That(keys.Folder("billing/events", interval), Is.Not.EqualTo(keys.Folder("events", interval)).And.StartsWith("billing!2Fevents/"));

        await exports.DeleteAsync("events", "bob");
        Assert.That((await database.Exports.GetAsync("events")).DeletedAt, Is.Null);
        var audit = await new AuditStore(database.Data).ListAsync(new AuditFilter { Project = "billing" });
        Assert.That(
            audit.Select(one => $"{one.Actor} {one.Action} {one.Kind} {one.Name}"),
            Is.EqualTo(new[] { "bob delete batch_export events", "bob pause batch_export events", "bob create batch_export events", "bob create destination lake", "ann create project billing" }));
    }

    [Test]
    public async Task A_project_with_a_history_stays()
    {
        await using var database = await TestDatabase.NewAsync();
        var projects = new ProjectStore(database.Data);
        await projects.CreateAsync("empty", "ann");
        await projects.CreateAsync("used", "ann");
        await database.Destinations.In("used").CreateAsync(Files("lake"), "ann");
        await database.Destinations.In("used").DeleteAsync("lake", "ann");
        await projects.DeleteAsync("empty", "ann");
        foreach (var (name, reason) in new[] { ("used", UserErrorReason.Conflict), (ProjectStore.Default, UserErrorReason.Conflict), ("empty", UserErrorReason.NotFound) })
        {
            Assert.That(
                async () => await projects.DeleteAsync(name, "ann"),
                Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Reason)).EqualTo(reason),
                name);
        }

        Assert.That(
            async () => await database.Destinations.In("nowhere").CreateAsync(Files("lake"), "ann"),
            Throws.TypeOf<UserErrorException>().With.Property(nameof(UserErrorException.Setting)).EqualTo("project"));
        Assert.That((await projects.ListAsync()).Select(one => one.Name), Is.EqualTo(new[] { ProjectStore.Default, "used" }));
    }

    private static Destination Files(string name) => new() { Name = name, Kind = "files", Settings = new() { ["root"] = "/srv/lake" } };

    private static BatchExport Export(string name) => new()
    {
        Name = name,
        DestinationId = Guid.Empty,
        Model = new SourceModel { Table = "events", CursorColumn = "at" },
        Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) },
    };
}
