using System.Text.Json.Nodes;
using Exporter.Engine.Observability;
using Exporter.Engine.Tests.Chaos;
using Exporter.Exports.Model;
using Exporter.Exports.Testing;
using Exporter.Exports.Tests.Pipeline;

namespace Exporter.Exports.Tests.Chaos;

/// <summary>Workers die around the split of a slice and around a later look, which are more than one write each.</summary>
[Parallelizable(ParallelScope.Self)]
public sealed class SplitKillTests
{
    private const int Killed = 128 + 9;
    private LocalClickHouse _limited = null!;
    private RunFixture _fixture = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _limited = await LimitedClickHouse.StartAsync();

    [OneTimeTearDown]
    public async Task StopAsync() => await _limited.DisposeAsync();

    [SetUp]
    public async Task PrepareAsync() => _fixture = await RunFixture.NewAsync(_limited);

    [TearDown]
    public async Task EndAsync() => await _fixture.DisposeAsync();

    // The first slice is to be split, then it is: two checkpoints; then the halves begin.
    [TestCase(nameof(WorkerMoment.Checkpointed), 1)]
    [TestCase(nameof(WorkerMoment.Checkpointed), 2)]
    [TestCase(nameof(WorkerMoment.AttemptStarted), 2)]
    public async Task A_split_slice_is_there_once_after_a_worker_was_killed_at(string moment, int times)
    {
        var runId = await StartRunAsync(LimitedClickHouse.Rows, 1 << 30);
        await using (var doomed = StartWorker(moment, "slice", times))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker();
        var run = await ExpectEveryRowOnceAsync(runId, LimitedClickHouse.Rows);
        Assert.That(run.SlicesSplit, Is.GreaterThan(0), "or nothing is shown");
    }

    [TestCase(nameof(WorkerMoment.Checkpointed), "slice")]
    [TestCase(nameof(WorkerMoment.StepRecorded), "finish")]
    public async Task A_later_look_goes_on_after_a_worker_was_killed_at(string moment, string step)
    {
        var runId = await StartRunAsync(2000, 200_000);
        await using (StartWorker())
        {
            await ExpectEveryRowOnceAsync(runId, 2000);
        }

        await _limited.ExecuteAsync($"INSERT INTO {_fixture.Table} SELECT ts, id + 1000000, 1, 'late' FROM {_fixture.Table} WHERE id < 10");
        var look = await _fixture.Verifications.StartAsync(runId, VerificationKind.Verify, "tester");
        await using (var doomed = StartWorker(moment, step, 1))
        {
            Assert.That(await doomed.ExitAsync(), Is.EqualTo(Killed));
        }

        await using var heir = StartWorker();
        Assert.That((await _fixture.EndedAsync(look)).Outcome, Is.EqualTo("exported_again"));
        await ExpectEveryRowOnceAsync(runId, 2010);
    }

    private ChaosProcess StartWorker(string? moment = null, string step = "", int times = 1)
    {
        string[] servers = [_fixture.Database.ConnectionString, _limited.Of(_fixture.Table.Split('.')[0], "limited"), _fixture.Database.Key];
        return ChaosProcess.Start([.. servers, .. moment is null ? [] : new[] { moment, step, $"{times}" }]);
    }

    private async Task<Guid> StartRunAsync(long rows, long sliceBytes)
    {
        await LimitedClickHouse.FillAsync(_fixture, rows: rows);
        await _fixture.Database.Destinations.CreateAsync(
            new Destination { Name = "folder", Kind = "files", Settings = new JsonObject { ["root"] = _fixture.Folder } }, "tester");
        var export = LimitedClickHouse.Export("ts", "id");
        var created = await _fixture.Database.Exports.CreateAsync(
            export with { Settings = export.Settings with { ParallelSlices = 1, TargetSliceBytes = sliceBytes } }, "folder", "tester");
        return await _fixture.Database.Control.StartAsync(created, RunFixture.Day, "tester");
    }

    private async Task<RunView> ExpectEveryRowOnceAsync(Guid runId, long rows)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _fixture.Database.Engine.ResultAsync<JsonObject>(runId, deadline.Token);
        var run = await _fixture.Database.Runs.GetAsync(runId);
        Assert.That((run.State, run.ExportedRows), Is.EqualTo(("completed", rows)), run.Error);
        await _fixture.ExpectProofAsync(run);
        var (files, table) = await _fixture.CompareAsync("count(), sum(id), sum(cityHash64(text))");
        Assert.That(files, Is.EqualTo(table));
        return run;
    }
}
