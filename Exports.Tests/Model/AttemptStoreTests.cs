using Exporter.Exports.Model;
using Exporter.Exports.Pipeline;
using Microsoft.Extensions.Logging.Abstractions;
using static Exporter.Exports.Tests.Model.ModelFixture;

namespace Exporter.Exports.Tests.Model;

public sealed class AttemptStoreTests
{
    private TestDatabase _database = null!;
    private Guid _runId;

    [SetUp]
    public async Task PlanAsync()
    {
        _database = await TestDatabase.NewAsync();
        var export = await NewHourlyAsync(_database);
        _runId = await _database.Control.StartAsync(export, Hour(3), "tester");
        await _database.InTransactionAsync(async transaction =>
        {
            await _database.Runs.BeginAsync(transaction, _runId, new ExportInput { BatchExportId = export.BatchExportId }, null, default);
            await _database.Runs.PlanAsync(transaction, _runId, [Slice(Hour(3), 0, 10)], null, default);
        });
    }

    [TearDown]
    public async Task EndAsync() => await _database.DisposeAsync();

    [Test]
    public async Task What_a_failed_attempt_had_sent_is_counted_once_as_sent_again()
    {
        await _database.Attempts.BeginAsync(Attempt(1, 1), default);
        for (var time = 0; time < 2; time++)
        {
            await _database.Attempts.FailAsync(Attempt(1, 1), new Moved(4, 400, 40), default);
        }

        Assert.That(await ResentAsync(), Is.EqualTo(40));
        Assert.That((await _database.Attempts.ListAsync(_runId)).Select(attempt => (attempt.State, attempt.Rows, attempt.SourceBytes, attempt.SentBytes)), Is.EqualTo(
            [("failed", 4L, 400L, 40L)]));
    }

    [Test]
    public async Task An_attempt_whose_process_was_killed_is_lost_when_the_next_begins_with_what_it_had_written_last()
    {
        await _database.Attempts.BeginAsync(Attempt(1, 1), default);
        await _database.Attempts.SeeAsync(Attempt(1, 1), new Moved(3, 300, 30), default);
        await _database.Attempts.BeginAsync(Attempt(2, 1), default);
        await _database.Attempts.BeginAsync(Attempt(2, 1), default);
        Assert.That(await ResentAsync(), Is.EqualTo(30));

        // The frozen one comes back: nothing of it counts any more.
        await _database.Attempts.SeeAsync(Attempt(1, 1), new Moved(9, 900, 90), default);
        await _database.Attempts.FailAsync(Attempt(1, 1), new Moved(9, 900, 90), default);
        await _database.Attempts.BeginAsync(Attempt(1, 2), default);
        Assert.That(await ResentAsync(), Is.EqualTo(30));
        Assert.That((await _database.Attempts.ListAsync(_runId)).Select(attempt => (attempt.Epoch, attempt.Attempt, attempt.State, attempt.SentBytes)), Is.EqualTo(
            [(1L, 1, "lost", 30L), (2L, 1, "running", 0L)]));
    }

    [Test]
    public async Task Progress_has_what_slices_in_progress_have_moved_and_a_committed_one_counts_once()
    {
        await _database.ExecuteAsync("update engine.live_run set state = 'running', epoch = 1, worker_id = gen_random_uuid() where run_id = @RunId", new { RunId = _runId });
        await _database.Attempts.BeginAsync(Attempt(1, 1), default);
        await _database.Attempts.SeeAsync(Attempt(1, 1), new Moved(4, 400, 40), default);
        var half = (await _database.Attempts.ProgressAsync(_runId))!;
        Assert.That((half.State, half.Rows, half.SentBytes, half.SourceBytes, half.SlicesRunning, half.SlicesCommitted), Is.EqualTo(("running", 4L, 40L, 400L, 1, 0)));
        Assert.That(half.RowsPerSecond, Is.GreaterThan(0));
        Assert.That(half.SecondsLeft, Is.Not.Null.And.GreaterThanOrEqualTo(0));
        var seen = await _database.Runs.GetAsync(_runId);
        Assert.That((seen.Phase, seen.MovedRows, seen.ExportedRows, seen.SlicesRunning, seen.ReadBytes, seen.SentBytes), Is.EqualTo(("exporting", 4L, 0L, 1, 400L, 40L)));
        Assert.That((seen.RowsPerSecond > 0, seen.SecondsLeft >= 0), Is.EqualTo((true, true)), "exports.runs has it, too");

        await _database.InTransactionAsync(async transaction =>
        {
            await _database.Runs.CommitSliceAsync(transaction, _runId, Receipt(0, 10), 1000, 1, 1, default);
            await _database.Attempts.CommitAsync(transaction, Attempt(1, 1), new Moved(10, 1000, 100), default);
        });
        var done = (await _database.Attempts.ProgressAsync(_runId))!;
        Assert.That((done.Rows, done.SentBytes, done.SlicesRunning, done.SlicesCommitted, done.ResentBytes), Is.EqualTo((10L, 100L, 0, 1, 0L)));
        seen = await _database.Runs.GetAsync(_runId);
        Assert.That((seen.Phase, seen.MovedRows, seen.ExportedRows, seen.SlicesRunning), Is.EqualTo(("finishing", 10L, 10L, 0)));
    }

    [Test]
    public async Task What_stays_though_its_attempt_fails_is_not_counted_as_sent_again()
    {
        await _database.Attempts.BeginAsync(Attempt(1, 1), default);
        await _database.Attempts.FailAsync(Attempt(1, 1), new Moved(4, 400, 40, KeptBytes: 30), default);
        Assert.That(await ResentAsync(), Is.EqualTo(10));

        await _database.Attempts.BeginAsync(Attempt(1, 2), default);
        await _database.Attempts.SeeAsync(Attempt(1, 2), new Moved(5, 500, 50, KeptBytes: 50), default);
        await _database.Attempts.BeginAsync(Attempt(2, 1), default);
        Assert.That(await ResentAsync(), Is.EqualTo(10));
        Assert.That((await _database.Attempts.ListAsync(_runId)).Select(attempt => (attempt.State, attempt.SentBytes, attempt.KeptBytes)), Is.EqualTo(
            [("failed", 40L, 30L), ("lost", 50L, 50L), ("running", 0L, 0L)]));
    }

    [Test]
    public async Task What_was_committed_though_nobody_was_told_is_not_counted_as_sent_again()
    {
        await _database.Attempts.BeginAsync(Attempt(1, 1), default);
        await _database.Attempts.SeeAsync(Attempt(1, 1), new Moved(4, 400, 40), default);
        await _database.Attempts.BeginAsync(Attempt(2, 1), default);
        Assert.That(await ResentAsync(), Is.EqualTo(40));
        for (var time = 0; time < 2; time++)
        {
            await _database.InTransactionAsync(transaction => _database.Attempts.KeepAsync(transaction, Attempt(1, 1), default));
        }

        await _database.InTransactionAsync(transaction => _database.Attempts.KeepAsync(transaction, Attempt(2, 1), default));
        Assert.That(await ResentAsync(), Is.Zero);
        Assert.That((await _database.Attempts.ListAsync(_runId)).Select(attempt => (attempt.State, attempt.SentBytes, attempt.KeptBytes)), Is.EqualTo(
            [("lost", 40L, 40L), ("running", 0L, 0L)]));
    }

    [Test]
    public async Task An_attempt_left_without_a_commit_has_failed_with_all_that_it_moved()
    {
        await using (var attempt = await SliceAttempt.BeginAsync(_database.Attempts, Attempt(1, 1), TimeProvider.System, NullLogger.Instance, default))
        {
            attempt.Of(() => new Moved(2, 200, 20));
            attempt.Tick();
        }

        Assert.That(await ResentAsync(), Is.EqualTo(20));
        Assert.That((await _database.Attempts.ListAsync(_runId)).Single().State, Is.EqualTo("failed"));
    }

    private AttemptId Attempt(long epoch, int attempt) => new(_runId, 0, _runId, epoch, attempt);

    private async Task<long> ResentAsync() => (await _database.Runs.GetAsync(_runId)).ResentBytes;
}
