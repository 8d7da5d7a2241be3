using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Runs that fail for good: what an export does when it goes on failing, and what is left when somebody has mended it.</summary>
public sealed class FailureTests
{
    private const int Rows = 2000;
    private RunFixture _fixture = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64",
            $"SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 43), number FROM numbers({Rows})");
    }

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    [Test]
    public async Task An_export_that_goes_on_failing_pauses_itself_says_why_and_goes_on_when_it_is_mended()
    {
        var export = RunFixture.Export();
        export = export with
        {
            Paused = false,
            Note = null,
            Model = export.Model with { Filter = "no_such_column = 1" },
            Settings = export.Settings with { PauseAfterFailures = 2 },
        };
        var first = await _fixture.RunAsync(export);
        Assert.That((first.State, (await ExportAsync()).Paused), Is.EqualTo(("failed", false)), "once is not again and again");
        var second = await RunAsync(1);
        var paused = await ExportAsync();
        Assert.That((second.State, paused.Paused), Is.EqualTo(("failed", true)));
        Assert.That(paused.Note, Does.Contain("2 failures in a row").And.Contain("no_such_column"));
        Assert.That(await _fixture.Database.ScalarAsync<string>("select string_agg(setting, ',') from exports.failures where mended_at is null"), Is.EqualTo("filter,filter"));
        Assert.That(
            await _fixture.Database.ScalarAsync<string>("select actor from exports.audit_log where action = 'pause' and name = 'daily'"), Is.EqualTo("exporter"));

        // Whoever lets it go on has all attempts again; an interval that is mended breaks the row.
        await _fixture.Database.Exports.UnpauseAsync("daily", "tester");
        Assert.That((await RunAsync(2)).State, Is.EqualTo("failed"));
        Assert.That((await ExportAsync()).Paused, Is.False, "what failed before it was unpaused does not count");
        await _fixture.Database.Exports.EditAsync("daily", new BatchExportEdit { Model = paused.Model with { Filter = null } }, "tester");
        Assert.That(await _fixture.Database.Control.RetryAsync(first.RunId, "tester"), Is.True);
        var mended = await _fixture.EndedRunAsync(first.RunId);
        Assert.That(mended.State, Is.EqualTo("failed"), "a run keeps what it began with");
        var again = await RunAsync(0);
        Assert.That((again.State, again.ExportedRows), Is.EqualTo(("completed", (long)Rows)), again.Error);
        await _fixture.ExpectProofAsync(again);
    }

    [Test]
    public async Task A_run_that_is_completed_after_all_is_a_failure_that_was_mended()
    {
        await _fixture.Server.ExecuteAsync($"RENAME TABLE {_fixture.Table} TO {_fixture.Table}_away");
        var run = await _fixture.RunAsync(RunFixture.Export());
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(await CountAsync("mended_at is null"), Is.EqualTo(1));
        await _fixture.Server.ExecuteAsync($"RENAME TABLE {_fixture.Table}_away TO {_fixture.Table}");
        Assert.That(await _fixture.Database.Control.RetryAsync(run.RunId, "tester"), Is.True);
        run = await _fixture.EndedRunAsync(run.RunId);
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", (long)Rows)), run.Error);
        Assert.That(await CountAsync("mended_at > failed_at"), Is.EqualTo(1));
        await _fixture.ExpectProofAsync(run);
    }

    [Test]
    public async Task A_run_over_the_budget_of_the_day_moves_nothing_and_goes_on_when_the_budget_is_raised()
    {
        var export = RunFixture.Export();
        export = export with { Settings = export.Settings with { MaxRowsPerDay = Rows + 500, PauseAfterFailures = 1 } };
        Assert.That((await _fixture.RunAsync(export)).State, Is.EqualTo("completed"));
        await _fixture.Database.Exports.UnpauseAsync("daily", "tester");
        var over = await RunAsync(0);
        Assert.That(over.State, Is.EqualTo("failed"));
        Assert.That(over.Error, Does.Contain("Setting: max_rows_per_day").And.Contain("2,500").And.Contain("tomorrow"));
        Assert.That((over.Slices, (await ExportAsync()).Paused), Is.EqualTo(((int?)null, false)), "nothing was begun, and tomorrow is another day");

        await EditAsync(settings => settings with { MaxRowsPerDay = Rows - 1 });
        Assert.That((await RunAsync(0)).Error, Does.Contain("will never fit"));
        await EditAsync(settings => settings with { MaxRowsPerDay = null, MaxBytesPerDay = 1024 });
        Assert.That((await RunAsync(0)).Error, Does.Contain("Setting: max_bytes_per_day"));
        await EditAsync(settings => settings with { MaxBytesPerDay = 1L << 30 });
        var run = await RunAsync(0);
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", (long)Rows)), run.Error);
        await _fixture.ExpectProofAsync(run);
    }

    private Task<BatchExportView> ExportAsync() => _fixture.Database.Exports.GetAsync("daily");

    private async Task EditAsync(Func<ExportSettings, ExportSettings> edit) => await _fixture.Database.Exports.EditAsync(
        "daily", new BatchExportEdit { Settings = edit((await ExportAsync()).Settings) }, "tester");

    private async Task<RunView> RunAsync(int day)
    {
        var interval = new DataInterval(RunFixture.Start.AddDays(day), RunFixture.Start.AddDays(day + 1));
        return await _fixture.EndedRunAsync(await _fixture.Database.Control.StartAsync(await ExportAsync(), interval, "tester"));
    }

    private Task<long> CountAsync(string condition) => _fixture.Database.ScalarAsync<long>($"select count(*) from exports.failures where {condition}");
}
