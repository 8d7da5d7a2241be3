using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Model;

/// <summary>An export that is changed, copied, or made to export again, in the database.</summary>
internal sealed class ExportEditTests
{
    [Test]
    public async Task An_edit_changes_what_it_names_and_nothing_else_and_the_audit_log_says_who()
    {
        await using var database = await TestDatabase.NewAsync();
        var before = await ModelFixture.NewHourlyAsync(database);
        var after = await database.Exports.EditAsync(
            "hourly", new BatchExportEdit { Model = before.Model with { Filter = "id > 7" }, Settings = before.Settings with { ParallelSlices = 9 } }, "ann");

        Assert.That(after, Is.EqualTo(before with
        {
            Model = after.Model,
            Settings = before.Settings with { ParallelSlices = 9 },
            UpdatedAt = after.UpdatedAt,
        }));
        Assert.That(after.Model.Filter, Is.EqualTo("id > 7"));
        Assert.That(after.UpdatedAt, Is.GreaterThan(before.UpdatedAt));
        var audit = await new AuditStore(database.Data).ListAsync(new AuditFilter { Name = "hourly", Actor = "ann" });
        Assert.That(audit.Single().Action, Is.EqualTo("update"));
        Assert.That(
            audit.Single().Changes().Select(change => (change.Field, change.Before?.ToString(), change.After?.ToString())).Where(change => change.Field != "updated_at"),
            Is.EqualTo(new (string, string?, string?)[] { ("model.filter", null, "id > 7"), ("settings.parallel_slices", "4", "9") }));
    }

    [Test]
    public async Task An_edit_of_what_somebody_else_has_changed_meanwhile_is_refused()
    {
        await using var database = await TestDatabase.NewAsync();
        var read = await ModelFixture.NewHourlyAsync(database);
        var edit = new BatchExportEdit { Settings = read.Settings with { ParallelSlices = 9 }, UnchangedSince = read.UpdatedAt };
        await database.Exports.PauseAsync("hourly", "by another", "bob");

        var refused = await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync("hourly", edit, "ann"));
        Assert.That(refused!.Setting, Is.EqualTo("updated_at"));
        var now = await database.Exports.GetAsync("hourly");
        Assert.That((now.Settings.ParallelSlices, now.Note), Is.EqualTo((4, "by another")));
        Assert.That((await database.Exports.EditAsync("hourly", edit with { UnchangedSince = now.UpdatedAt }, "ann")).Settings.ParallelSlices, Is.EqualTo(9));
    }

    [Test]
    public async Task A_run_keeps_the_configuration_that_it_began_with()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        var run = await database.Control.StartAsync(export, ModelFixture.Hour(3), "tester");
        RunOrder? begun = null;
        await database.InTransactionAsync(async transaction =>
            begun = await database.Runs.BeginAsync(transaction, run, new ExportInput { BatchExportId = export.BatchExportId }, null, default));
        await database.Exports.EditAsync("hourly", new BatchExportEdit { Model = export.Model with { Filter = "id > 7" } }, "tester");

        // What begins a run is a step, whose answer is recorded: the rest of the run has this.
        Assert.That(begun!.Export.Model.Filter, Is.Null);
        await database.InTransactionAsync(async transaction => Assert.That(
            (await database.Runs.BeginAsync(transaction, run, new ExportInput { BatchExportId = export.BatchExportId }, null, default)).Export.Model.Filter,
            Is.EqualTo("id > 7"), "one that begins now has the new one"));
    }

    [Test]
    public async Task The_cursor_column_stays_once_there_are_runs()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        var edit = new BatchExportEdit { Model = export.Model with { CursorColumn = "inserted_at" } };
        Assert.That((await database.Exports.EditAsync("hourly", edit, "tester")).Model.CursorColumn, Is.EqualTo("inserted_at"));
        await database.Control.StartAsync(export, ModelFixture.Hour(3), "tester");
        var refused = await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync("hourly", new BatchExportEdit { Model = export.Model }, "tester"));
        Assert.That(refused!.Setting, Is.EqualTo("cursor_column"));
    }

    [Test]
    public async Task The_table_stays_once_there_are_runs_where_it_is_a_part_of_the_place()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        await database.Control.StartAsync(export, ModelFixture.Hour(3), "tester");
        Assert.That((await database.Exports.EditAsync("hourly", new BatchExportEdit { Model = export.Model with { Table = "events2" } }, "tester")).Model.Table, Is.EqualTo("events2"));
        await database.Destinations.EditAsync("bucket", new DestinationEdit { Settings = new Dictionary<string, JsonNode?> { ["prefix"] = "lake/{table}" } }, "tester");
        var refused = await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync("hourly", new BatchExportEdit { Model = export.Model }, "tester"));
        Assert.That(refused!.Setting, Is.EqualTo("table"));
    }

    [Test]
    public async Task What_is_out_of_range_changes_nothing()
    {
        await using var database = await TestDatabase.NewAsync();
        var before = await ModelFixture.NewHourlyAsync(database);
        var refused = await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.EditAsync(
            "hourly", new BatchExportEdit { Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) }, Settings = before.Settings with { ParallelSlices = 65 } }, "tester"));
        Assert.That(refused!.Setting, Is.EqualTo("parallel_slices"));
        Assert.That((await database.Exports.GetAsync("hourly")).Schedule, Is.EqualTo(before.Schedule));
    }

    [Test]
    public async Task A_duplicate_is_configured_alike_and_has_exported_nothing()
    {
        await using var database = await TestDatabase.NewAsync();
        var original = await ModelFixture.NewHourlyAsync(database);
        var run = await database.Control.StartAsync(original, ModelFixture.Hour(3), "tester");
        await ModelFixture.CompleteAsync(database, run, original, ModelFixture.Hour(3));
        original = await database.Exports.EditAsync("hourly", new BatchExportEdit { Schedule = new ExportSchedule { Every = TimeSpan.FromDays(1) } }, "tester");
        await database.Destinations.CreateAsync(ModelFixture.Bucket("other"), "tester");

        var copy = await database.Exports.DuplicateAsync("hourly", "copy", "other", paused: true, "tester");

        Assert.That((copy.Destination, copy.Model.Table, copy.Settings, copy.Format, copy.Paused), Is.EqualTo(("other", "events", original.Settings, original.Format, true)));
        Assert.That((copy.Schedule.Every, copy.Schedule.Earlier, copy.Schedule.Start), Is.EqualTo((TimeSpan.FromDays(1), (ExportSchedule?)null, (DateTimeOffset?)null)));
        Assert.That(await database.Runs.IsCoveredAsync(copy.BatchExportId, ModelFixture.Hour(3)), Is.False);
        await Assert.ThrowsAsync<UserErrorException>(() => database.Exports.DuplicateAsync("hourly", "copy", null, false, "tester"));
    }

    [Test]
    public async Task A_reset_forgets_from_a_time_on_and_exports_it_again_in_place()
    {
        await using var database = await TestDatabase.NewAsync();
        var export = await ModelFixture.NewHourlyAsync(database);
        foreach (var hour in new[] { 3, 4, 5 })
        {
            var run = await database.Control.StartAsync(export, ModelFixture.Hour(hour), "tester");
            await ModelFixture.CompleteAsync(database, run, export, ModelFixture.Hour(hour));
        }

        var backfill = await Control(database).ResetAsync("hourly", ModelFixture.Hour(4).Start, parallel: 2, "ann");

        Assert.That((backfill.StartAt, backfill.Parallel, backfill.Replace), Is.EqualTo((ModelFixture.Hour(4).Start, 2, true)));
        Assert.That(backfill.EndAt, Is.EqualTo(export.Schedule.LastIntervalUntil(await database.Runs.ClockAsync(default)).End));
        Assert.That(
            await Task.WhenAll(new[] { 3, 4, 5 }.Select(hour => database.Runs.IsCoveredAsync(export.BatchExportId, ModelFixture.Hour(hour)))),
            Is.EqualTo(new[] { true, false, false }));
        var audit = (await new AuditStore(database.Data).ListAsync(new AuditFilter { Name = "hourly" }))[0];
        Assert.That((audit.Actor, audit.Action, audit.After!["forgotten_intervals"]!.GetValue<int>()), Is.EqualTo(("ann", "reset", 2)));

        var refused = await Assert.ThrowsAsync<UserErrorException>(() => Control(database).ResetAsync("hourly", ModelFixture.Hour(4).Start.AddMinutes(1), 1, "ann"));
        Assert.That(refused!.Advice, Does.Contain("04:00:00"));
        Assert.That((await Assert.ThrowsAsync<UserErrorException>(() => Control(database).ResetAsync("hourly", backfill.EndAt.AddDays(1), 1, "ann")))!.Setting, Is.EqualTo("from"));
    }

    [Test]
    public async Task What_a_pause_left_out_is_known_and_a_catch_up_exports_exactly_that()
    {
        await using var database = await TestDatabase.NewAsync();
        await database.Destinations.CreateAsync(ModelFixture.Bucket(), "tester");
        var export = await database.Exports.CreateAsync(ModelFixture.Hourly() with { Paused = false, Note = null }, "bucket", "tester");
        var first = export.NextOccurrence!.Value;
        await database.Exports.PauseAsync("hourly", "the source moves", "tester");
        Assert.That(await Control(database).MissedAsync("hourly"), Is.Null, "nothing fell due yet");

        // Ten hours later; an hour's end and its settle delay and jitter lie well behind.
        await MoveClockAsync(database, hours: 10);
        var missed = await Control(database).MissedAsync("hourly");
        Assert.That(missed!.Start, Is.EqualTo(first.AddHours(-1)), "the interval that had not been started");
        Assert.That((await database.Exports.GetAsync("hourly")).Paused, Is.True, "asking changes nothing");

        var (unpaused, backfill) = await Control(database).UnpauseAsync("hourly", catchUp: true, "ann");

        Assert.That((unpaused.Paused, backfill!.Replace), Is.EqualTo((false, false)));
        Assert.That(new DataInterval(backfill.StartAt, backfill.EndAt), Is.EqualTo(missed));
        Assert.That(unpaused.NextOccurrence, Is.EqualTo(backfill.EndAt.AddHours(1)), "the schedule goes on where the backfill ends");

        // Paused once more after an interval was started by the schedule: only what is after it was missed.
        await database.Exports.PauseAsync("hourly", null, "tester");
        await database.ExecuteAsync(
            "insert into engine.occurrence (schedule_id, occurrence, outcome, run_id) values (@schedule, @time, 'started', gen_random_uuid())",
            new { schedule = unpaused.ToBatchExport().ScheduleId, time = unpaused.NextOccurrence!.Value.UtcDateTime });
        await MoveClockAsync(database, hours: 14);
        Assert.That((await Control(database).MissedAsync("hourly"))!.Start, Is.EqualTo(unpaused.NextOccurrence.Value));
        Assert.That((await Control(database).UnpauseAsync("hourly", catchUp: false, "ann")).Backfill, Is.Null);
    }

    [Test]
    public void Only_what_differs_is_a_change()
    {
        var before = JsonNode.Parse("""{"a": 1, "b": {"c": [1, 2], "d": null, "e": "x"}, "gone": true}""");
        var after = JsonNode.Parse("""{"a": 1, "b": {"c": [2, 1], "d": null, "e": "y"}, "new": {"f": 1}}""");
        Assert.That(
            FieldChange.Between(before, after).Select(change => $"{change.Field} {change.Before?.ToJsonString()} {change.After?.ToJsonString()}"),
            Is.EqualTo(new[] { "b.c [1,2] [2,1]", "b.e \"x\" \"y\"", "new  {\"f\":1}", "gone true " }));
        Assert.That(FieldChange.Between(before, before), Is.Empty);
    }

    private static ExportControl Control(TestDatabase database) => new(
        database.Data, database.Exports, database.Backfills, database.Runs, new Engine.Scheduling.ScheduleClient(database.Data, database.Codec));

    private static Task MoveClockAsync(TestDatabase database, int hours) => database.ExecuteAsync(
        $"create or replace function engine.clock() returns timestamptz language sql stable as $$ select statement_timestamp() + interval '{hours} hours' $$");
}
