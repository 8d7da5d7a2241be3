using Exporter.Engine.Observability;
using Exporter.Engine.Tests;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>A backfill that is paused, resumed, and told where to begin.</summary>
public sealed class BackfillSteeringTests
{
    private const int Rows = 600;
    private RunFixture _fixture = null!;

    [SetUp]
    public async Task PrepareAsync()
    {
        _fixture = await RunFixture.StartedAsync(
            "ts DateTime64(6, 'UTC'), id UInt64",
            $"SELECT toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 36), number FROM numbers({Rows})");
    }

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    [Test]
    public async Task A_paused_backfill_starts_no_run_and_goes_on_from_there_newest_first()
    {
        var export = RunFixture.Export() with { Schedule = new ExportSchedule { Every = TimeSpan.FromHours(1) } };
        await _fixture.Database.Destinations.CreateAsync(
            new Destination { Name = "folder", Kind = "files", Settings = new() { ["root"] = _fixture.Folder } }, "tester");
        var view = await _fixture.Database.Exports.CreateAsync(export, "folder", "tester");
        var backfills = _fixture.Database.Backfills;
        var id = Guid.CreateVersion7();
        _fixture.On(WorkerMoment.AttemptStarted, "slice", async () => Assert.That(await backfills.PauseAsync(id, "tester"), Is.True));
        await backfills.CreateAsync(
            new Backfill { Id = id, BatchExportId = export.Id, Range = new(RunFixture.Start, RunFixture.Start.AddHours(6)), NewestFirst = true }, view, "tester");
        await Eventually.TrueAsync(async () => (await backfills.GetAsync(id)).State == "paused", "it is paused", 60);
        var run = (await RunsAsync()).Single();
        Assert.That(run.IntervalEnd, Is.EqualTo(RunFixture.Start.AddHours(6)), "the latest came first");
        Assert.That((await _fixture.EndedRunAsync(run.RunId)).State, Is.EqualTo("completed"), "what was started goes on");
        Assert.That(await backfills.ResumeAsync(id, "tester"), Is.True);
        await Eventually.TrueAsync(async () => (await backfills.GetAsync(id)).State == "completed", "it is completed", 90);
        Assert.That(await backfills.ResumeAsync(id, "tester"), Is.False);
        Assert.That(
            (await RunsAsync()).OrderBy(one => one.CreatedAt).Select(one => one.IntervalStart),
            Is.EqualTo(Enumerable.Range(0, 6).Select(hour => RunFixture.Start.AddHours(5 - hour))));
        Assert.That(await _fixture.CompareAsync("concat(toString(count()), ' ', toString(uniqExact(id)))"), Is.EqualTo(($"{Rows} {Rows}", $"{Rows} {Rows}")));
        Assert.That(
            await _fixture.Database.ScalarAsync<string>("select string_agg(action, ' ' order by audit_id) from exports.audit_log where kind = 'backfill'"),
            Is.EqualTo("create pause resume"));
    }

    private Task<IReadOnlyList<RunView>> RunsAsync() => _fixture.Database.Runs.ListAsync(new RunFilter { Limit = 100 });
}
