using Exporter.Engine.Client;
using Npgsql;

namespace Exporter.Engine.Tests.Client;

/// <summary>What starting, cancelling and looking at runs promise.</summary>
public sealed class StartTests
{
    private TestDatabase _database = null!;

    private EngineClient Client => TestWorker.ClientOf(_database.Data);

    [SetUp]
    public async Task PrepareAsync() => _database = await TestDatabase.NewAsync();

    [TearDown]
    public ValueTask EndAsync() => _database.DisposeAsync();

    [Test]
    public async Task Two_hundred_runs_started_twice_with_the_same_keys_are_two_hundred_runs()
    {
        var starts = Enumerable.Range(0, 400).Select(number => Client.StartAsync(
            "any", number, new StartOptions { IdempotencyKey = $"key {number % 200}" }));
        var handles = await Task.WhenAll(starts);
        Assert.That(handles.Count(handle => handle.IsNew), Is.EqualTo(200));
        Assert.That(handles.Select(handle => handle.RunId).Distinct().Count(), Is.EqualTo(200));
        Assert.That(await _database.ScalarAsync<long>("select count(*) from engine.runs where state = 'queued'"), Is.EqualTo(200));
    }

    [Test]
    public async Task A_run_exists_if_and_only_if_the_callers_transaction_commits()
    {
        foreach (var commits in new[] { true, false })
        {
            await using var connection = await _database.Data.OpenConnectionAsync();
            await using var transaction = await connection.BeginTransactionAsync();
            var started = await Client.StartAsync("any", 1, transaction: transaction);
            Assert.That(await Client.GetAsync(started.RunId), Is.Null, "before the end nobody sees it");
            await (commits ? transaction.CommitAsync() : transaction.RollbackAsync());
            Assert.That(await Client.GetAsync(started.RunId), commits ? Is.Not.Null : Is.Null);
        }
    }

    [Test]
    public async Task A_start_waits_for_another_start_with_its_key_and_answers_what_became_of_it()
    {
        await using var connection = await _database.Data.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        var options = new StartOptions { IdempotencyKey = "same" };
        var first = await Client.StartAsync("any", 1, options, transaction);
        var second = Client.StartAsync("any", 1, options);
        await transaction.CommitAsync();
        Assert.That(await second, Is.EqualTo(new RunHandle(first.RunId, IsNew: false)));
    }

    [Test]
    public async Task A_run_that_never_began_is_cancelled_at_once()
    {
        var started = await Client.StartAsync("any", 1);
        Assert.That(await Client.CancelAsync(started.RunId), Is.True);
        Assert.That((await Client.GetAsync(started.RunId))!.State, Is.EqualTo(RunState.Cancelled));
        Assert.That(await Client.CancelAsync(started.RunId), Is.False, "it is final");
    }

    [Test]
    public async Task A_run_starts_no_sooner_than_it_is_told()
    {
        var started = await Client.StartAsync("any", 1, new StartOptions { StartAt = new DateTimeOffset(2999, 1, 1, 0, 0, 0, TimeSpan.Zero) });
        var status = (await Client.GetAsync(started.RunId))!;
        Assert.That(status.State, Is.EqualTo(RunState.Waiting));
        Assert.That(status.DueAt!.Value.Year, Is.EqualTo(2999));
    }

    [TestCase("")]
    [TestCase("a\0b")]
    public async Task A_bad_idempotency_key_is_refused_and_named(string key)
    {
        var error = await Assert.ThrowsAsync<ArgumentException>(async () => await Client.StartAsync("any", 1, new StartOptions { IdempotencyKey = key }));
        Assert.That(error!.Message, Does.Contain("IdempotencyKey must have 1 to 500 characters"));
    }

    [Test]
    public async Task A_taken_run_id_is_refused()
    {
        var started = await Client.StartAsync("any", 1);
        var error = await Assert.ThrowsAsync<PostgresException>(async () => await Client.StartAsync("any", 1, new StartOptions { RunId = started.RunId }));
        Assert.That(error!.SqlState, Is.EqualTo(PostgresErrorCodes.UniqueViolation));
    }
}
