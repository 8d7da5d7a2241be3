using Exporter.Engine.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Rows that come, go or change after they were planned or exported: only their slices are exported again.</summary>
public sealed class LateRowsTests
{
    private RunFixture _fixture = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64, v UInt32, text String",
            "SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 4000), number, 1, repeat('x', 50) FROM numbers(20000)");
    }

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    [Test]
    public async Task A_slice_whose_rows_change_while_the_run_goes_on_is_exported_again_and_no_other()
    {
        _fixture.On(WorkerMoment.StepRecorded, "plan", () => AddAsync(30));
        _fixture.On(WorkerMoment.AttemptStarted, "compare", () => AddAsync(5));
        var run = await _fixture.RunAsync(RunFixture.Export());
        Assert.That((run.State, run.ExportedRows, run.LateRows, run.SlicesExportedAgain), Is.EqualTo(("completed", 20035L, (long?)35, 1)), run.Error);
        await _fixture.ExpectProofAsync(run);
        await ExpectTheSameAsync();
    }

    [Test]
    public async Task Rows_that_change_all_the_time_fail_the_run_with_what_to_do()
    {
        _fixture.On(WorkerMoment.StepRecorded, "plan", () => AddAsync(30));
        _fixture.On(WorkerMoment.AttemptStarted, "compare", () => AddAsync(5), int.MaxValue);
        _fixture.On(WorkerMoment.AttemptStarted, "slice", () => AddAsync(5), int.MaxValue);
        var run = await _fixture.RunAsync(RunFixture.Export());
        Assert.That(run.State, Is.EqualTo("failed"));
        Assert.That(run.Error, Does.Contain("Setting: settle_delay").And.Contain("the source has"));
        Assert.That(await _fixture.Database.ScalarAsync<long>("select count(*) from exports.coverage"), Is.Zero);
    }

    [Test]
    public async Task A_later_look_exports_the_slices_again_that_changed_and_counts_what_came_late()
    {
        var run = await _fixture.RunAsync(RunFixture.Export());
        await _fixture.ExpectProofAsync(run);
        await AddAsync(7);
        await _fixture.Server.ExecuteAsync($"ALTER TABLE {_fixture.Table} DELETE WHERE id = 3 SETTINGS mutations_sync = 1");
        var before = await FilesAsync();

        var compared = await _fixture.VerifyAsync(run.RunId, VerificationKind.Compare);
        Assert.That((compared.Outcome, compared.SlicesChanged, compared.LateRows, compared.GoneRows), Is.EqualTo(("changed", (int?)2, (long?)7, (long?)1)), compared.Error);
        Assert.That(await FilesAsync(), Is.EqualTo(before), "comparing changes nothing");

        var look = await _fixture.VerifyAsync(run.RunId);
        Assert.That((look.Outcome, look.SlicesChanged, look.LateRows, look.GoneRows), Is.EqualTo(("exported_again", (int?)2, (long?)7, (long?)1)), look.Error);
        var after = await FilesAsync();
        Assert.That(after.Keys, Is.EqualTo(before.Keys), "the same keys");
        Assert.That(after.Count(file => !file.Value.SequenceEqual(before[file.Key])), Is.EqualTo(3), "two slices and the manifest");
        run = await _fixture.Database.Runs.GetAsync(run.RunId);
        Assert.That((run.ExportedRows, run.LateRows, run.SlicesExportedAgain, run.State), Is.EqualTo((20006L, (long?)7, 2, "completed")));
        Assert.That(run.VerifiedAt, Is.Not.Null);
        await _fixture.ExpectProofAsync(run);
        await ExpectTheSameAsync();
        Assert.That(await _fixture.Database.ScalarAsync<long>("select rows from exports.coverage where verified_at is not null"), Is.EqualTo(20006));

        Assert.That((await _fixture.VerifyAsync(run.RunId)).Outcome, Is.EqualTo("unchanged"), "nothing is left to do");
    }

    [TestCase(Dedup.LimitBy)]
    [TestCase(Dedup.Final)]
    public async Task A_newer_version_of_a_row_is_found_though_the_number_of_rows_is_the_same(Dedup dedup)
    {
        await using var fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64, v UInt32, text String",
            "SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 40000), number, 1, repeat('x', 500) FROM numbers(2000)",
            "ReplacingMergeTree(v) ORDER BY (ts, id)");
        var run = await fixture.RunAsync(RunFixture.Export(dedup, "ts", "id"));
        await fixture.Server.ExecuteAsync($"INSERT INTO {fixture.Table} SELECT ts, id, 2, 'newer' FROM {fixture.Table} WHERE id = 1000");
        var look = await fixture.VerifyAsync(run.RunId);
        Assert.That((look.Outcome, look.SlicesChanged, look.LateRows), Is.EqualTo(("exported_again", (int?)1, (long?)0)), look.Error);
        Assert.That((await fixture.CompareAsync("countIf(text = 'newer'), count()")).Files, Is.EqualTo("1\t2000"));
        await fixture.ExpectProofAsync(run);
    }

    [Test]
    public async Task Rows_that_come_to_an_empty_interval_are_found_later()
    {
        await _fixture.Server.ExecuteAsync($"TRUNCATE TABLE {_fixture.Table}");
        var run = await _fixture.RunAsync(RunFixture.Export());
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", 0L)), run.Error);
        await AddAsync(12);
        var look = await _fixture.VerifyAsync(run.RunId);
        Assert.That((look.Outcome, look.LateRows), Is.EqualTo(("exported_again", (long?)12)), look.Error);
        await ExpectTheSameAsync();
    }

    [Test]
    public async Task A_run_is_looked_at_again_by_itself_when_its_export_asks_for_it()
    {
        var export = RunFixture.Export();
        var run = await _fixture.RunAsync(export with { Settings = export.Settings with { VerifyAfter = TimeSpan.FromSeconds(1) } });
        Assert.That(run.State, Is.EqualTo("completed"), run.Error);
        await AddAsync(9);
        var look = (await _fixture.Database.Runs.VerificationsAsync(run.RunId)).Single();
        look = await _fixture.EndedAsync(look.VerificationId);
        Assert.That((look.Outcome, look.LateRows, look.CreatedBy), Is.EqualTo(("exported_again", (long?)9, "verify_after")), look.Error);
        await ExpectTheSameAsync();
    }

    [Test]
    public async Task An_interval_that_another_run_has_exported_is_left_alone()
    {
        var first = await _fixture.RunAsync(RunFixture.Export());
        var second = await _fixture.RunAsync();
        await AddAsync(4);
        Assert.That((await _fixture.VerifyAsync(first.RunId)).Outcome, Is.EqualTo("superseded"));
        Assert.That((await _fixture.CompareAsync("count()")).Files, Is.EqualTo("20000"));
        Assert.That((await _fixture.VerifyAsync(second.RunId)).Outcome, Is.EqualTo("exported_again"));
        await ExpectTheSameAsync();
    }

    [Test]
    public async Task While_a_look_exports_an_interval_again_no_run_may_start_on_it()
    {
        var run = await _fixture.RunAsync(RunFixture.Export());
        await AddAsync(4);
        UserErrorException? refused = null;
        _fixture.On(WorkerMoment.AttemptStarted, "slice", async () =>
        {
            try
            {
                await _fixture.Database.Control.StartAsync(await _fixture.Database.Exports.GetAsync("daily"), RunFixture.Day, "tester");
            }
            catch (UserErrorException error)
            {
                refused = error;
            }
        });
        var look = await _fixture.VerifyAsync(run.RunId);
        Assert.That(look.Outcome, Is.EqualTo("exported_again"), look.Error);
        Assert.That(refused?.Message, Does.Contain(look.VerificationId.ToString()).And.Contain("cannot be exported now"));
        Assert.That((await _fixture.RunAsync()).State, Is.EqualTo("completed"), "afterwards it may");
    }

    private Task AddAsync(int rows) => _fixture.Server.ExecuteAsync(
        $"INSERT INTO {_fixture.Table} SELECT toDateTime64('2026-11-01 12:00:00', 6, 'UTC'), 1000000 + rand64() % 1000000000000, 1, 'late' FROM numbers({rows})");

    private async Task ExpectTheSameAsync()
    {
        var (files, table) = await _fixture.CompareAsync("count(), sum(id), sum(cityHash64(text))");
        Assert.That(files, Is.EqualTo(table));
    }

    private async Task<SortedDictionary<string, byte[]>> FilesAsync()
    {
        var files = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var file in Directory.EnumerateFiles(_fixture.Folder, "*", SearchOption.AllDirectories))
        {
            files[file] = await File.ReadAllBytesAsync(file);
        }

        return files;
    }
}
