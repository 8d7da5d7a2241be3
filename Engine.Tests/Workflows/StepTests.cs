using System.Collections.Concurrent;
using Exporter.Engine.Client;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Tests.Workflows;

/// <summary>What steps promise, seen by those who write workflows.</summary>
public sealed class StepTests
{
    [Test]
    public async Task A_run_answers_with_its_output()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, input) => run.StepAsync("double", _ => Task.FromResult(input * 2)));
        var started = await worker.Client.StartAsync("code", 21, new StartOptions { Queue = TestWorker.Queue });
        Assert.That(await worker.Client.ResultAsync<int>(started.RunId), Is.EqualTo(42));
        Assert.That(await database.ScalarAsync<string>("select state from engine.runs"), Is.EqualTo("completed"));
        Assert.That(await database.ScalarAsync<string>("select state from engine.attempts"), Is.EqualTo("completed"));
    }

    [Test]
    public async Task A_failed_attempt_is_followed_by_another_and_kept_with_its_error()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync(
            "flaky",
            step => step.Attempt < 3 ? throw new IOException($"broken {step.Attempt}") : Task.FromResult(step.Attempt),
            Retrying()));
        Assert.That(await RunAsync(worker), Is.EqualTo(3));
        Assert.That(
            await database.ScalarAsync<string>("select string_agg(attempt || ' ' || state || coalesce(' ' || error, ''), ', ' order by attempt) from engine.attempts"),
            Is.EqualTo("1 failed broken 1, 2 failed broken 2, 3 completed"));
    }

    [Test]
    public async Task A_step_without_attempts_left_fails_the_run_with_its_error()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync<int>(
            "hopeless", _ => throw new IOException("still broken"), Retrying() with { Retry = Retrying().Retry with { MaximumAttempts = 2 } }));
        var error = await FailureAsync(() => RunAsync(worker));
        Assert.That(error.Message, Does.Contain("Step \"hopeless\" failed after 2 attempts: still broken"));
    }

    [Test]
    public async Task A_non_retryable_error_ends_a_step_at_once()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync<int>("wrong", _ => throw new NonRetryableException("never"), Retrying()));
        var error = await FailureAsync(() => RunAsync(worker));
        Assert.That(error.Message, Does.Contain("failed after 1 attempt: never"));
    }

    [Test]
    public async Task A_failed_run_that_is_retried_goes_on_from_its_failed_step()
    {
        await using var database = await TestDatabase.NewAsync();
        var calls = new ConcurrentBag<string>();
        var broken = true;
        await using var worker = await StartAsync(database, async (run, _) =>
        {
            await run.StepAsync("first", _ => Call("first"));
            return await run.StepAsync("second", _ => Volatile.Read(ref broken) ? throw new NonRetryableException("broken") : Call("second"));
        });
        var started = await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue });
        await FailureAsync(() => worker.Client.ResultAsync<int>(started.RunId));
        Volatile.Write(ref broken, false);
        Assert.That(await worker.Client.RetryAsync(started.RunId), Is.True);
        Assert.That(await worker.Client.ResultAsync<int>(started.RunId), Is.EqualTo(1));
        Assert.That(calls, Is.EquivalentTo(new[] { "first", "second" }));

        Task<int> Call(string name)
        {
            calls.Add(name);
            return Task.FromResult(1);
        }
    }

    [Test]
    public async Task An_attempt_that_takes_longer_than_start_to_close_is_stopped_and_tried_again()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync(
            "slow",
            async step =>
            {
                if (step.Attempt == 1)
                {
                    await Task.Delay(Timeout.Infinite, step.CancellationToken);
                }

                return step.Attempt;
            },
            Retrying() with { StartToClose = TimeSpan.FromMilliseconds(300) }));
        Assert.That(await RunAsync(worker), Is.EqualTo(2));
        Assert.That(await database.ScalarAsync<string>("select error from engine.attempts where state = 'failed'"), Does.Contain("StartToClose"));
    }

    [Test]
    public async Task A_step_that_beats_outlives_its_heartbeat_timeout_and_one_that_hangs_does_not()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync(
            "beating",
            async step =>
            {
                using var beat = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
                for (var beats = 0; beats < 20; beats++)
                {
                    await beat.WaitForNextTickAsync(step.CancellationToken);
                    step.Heartbeat();
                }

                if (step.Attempt == 1)
                {
                    await Task.Delay(Timeout.Infinite, step.CancellationToken);
                }

                return step.Attempt;
            },
            Retrying() with { HeartbeatTimeout = TimeSpan.FromMilliseconds(600) }));
        Assert.That(await RunAsync(worker), Is.EqualTo(2));
        Assert.That(await database.ScalarAsync<string>("select error from engine.attempts where state = 'failed'"), Does.Contain("HeartbeatTimeout"));
    }

    [Test]
    public async Task The_next_attempt_starts_from_the_last_checkpoint()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync(
            "counting",
            async step =>
            {
                var from = step.TryGetCheckpoint<int>(out var done) ? done : 0;
                for (var number = from + 1; number <= 10; number++)
                {
                    await step.CommitAsync(number);
                    if (number == 4 && step.Attempt == 1)
                    {
                        throw new IOException("broken at 4");
                    }
                }

                return from;
            },
            Retrying()));
        Assert.That(await RunAsync(worker), Is.EqualTo(4));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.open_step"), Is.Zero, "a recorded step is not open");
    }

    [Test]
    public async Task Rows_alongside_a_checkpoint_are_there_if_and_only_if_the_checkpoint_is()
    {
        await using var database = await TestDatabase.NewAsync();
        await database.ExecuteAsync("create table mine (n int primary key)");
        await using var worker = await StartAsync(database, (run, _) => run.StepAsync(
            "both",
            async step =>
            {
                var from = step.TryGetCheckpoint<int>(out var done) ? done : 0;
                for (var number = from + 1; number <= 5; number++)
                {
                    await step.CommitAsync(number, async (transaction, token) =>
                    {
                        await using var insert = new Npgsql.NpgsqlCommand("insert into mine values ($1)", transaction.Connection, transaction)
                        {
                            Parameters = { new() { Value = number } },
                        };
                        await insert.ExecuteNonQueryAsync(token);
                        if (number == 3 && step.Attempt == 1)
                        {
                            throw new IOException("broken inside the transaction");
                        }
                    });
                }

                return from;
            },
            Retrying()));
        Assert.That(await RunAsync(worker), Is.EqualTo(2));
        Assert.That(await database.ScalarAsync<long>("select count(*) from mine"), Is.EqualTo(5));
    }

    [Test]
    public async Task A_step_in_a_transaction_commits_its_rows_and_its_record_together()
    {
        await using var database = await TestDatabase.NewAsync();
        await database.ExecuteAsync("create table mine (attempt int)");
        await using var worker = await StartAsync(database, (run, _) => run.StepInTransactionAsync(
            "insert",
            async (step, transaction) =>
            {
                await using var insert = new Npgsql.NpgsqlCommand("insert into mine values ($1)", transaction.Connection, transaction)
                {
                    Parameters = { new() { Value = step.Attempt } },
                };
                await insert.ExecuteNonQueryAsync(step.CancellationToken);
                return step.Attempt == 1 ? throw new IOException("after the insert") : step.Attempt;
            },
            Retrying()));
        Assert.That(await RunAsync(worker), Is.EqualTo(2));
        Assert.That(await database.ScalarAsync<string>("select string_agg(attempt::text, ',') from mine"), Is.EqualTo("2"));
    }

    [Test]
    public async Task Parallel_steps_keep_to_their_limit_and_answer_in_order()
    {
        await using var database = await TestDatabase.NewAsync();
        var executing = 0;
        var most = 0;
        await using var worker = await StartAsync(database, async (run, _) =>
        {
            var answers = await run.StepsAsync("part", Enumerable.Range(0, 40).ToArray(), 4, async (_, item) =>
            {
                InterlockedMax(ref most, Interlocked.Increment(ref executing));
                await Task.Yield();
                Interlocked.Decrement(ref executing);
                return item * 10;
            });
            return answers.SequenceEqual(Enumerable.Range(0, 40).Select(item => item * 10)) ? 1 : 0;
        });
        Assert.That(await RunAsync(worker), Is.EqualTo(1));
        Assert.That(most, Is.InRange(1, 4));
        Assert.That(await database.ScalarAsync<long>("select count(*) from engine.steps where state = 'completed'"), Is.EqualTo(40));

        static void InterlockedMax(ref int target, int value)
        {
            for (var seen = Volatile.Read(ref target); seen < value; seen = Volatile.Read(ref target))
            {
                Interlocked.CompareExchange(ref target, value, seen);
            }
        }
    }

    [Test]
    public async Task A_parallel_step_that_fails_for_good_fails_the_run_with_its_own_error()
    {
        await using var database = await TestDatabase.NewAsync();
        await using var worker = await StartAsync(database, async (run, _) => (await run.StepsAsync("part", Enumerable.Range(0, 8).ToArray(), 8, async (step, item) =>
        {
            if (item == 5)
            {
                throw new NonRetryableException("five is bad");
            }

            await Task.Delay(Timeout.Infinite, step.CancellationToken);
            return item;
        })).Count);
        Assert.That((await FailureAsync(() => RunAsync(worker))).Message, Does.Contain("five is bad"));
    }

    [Test]
    public async Task A_long_wait_for_a_retry_gives_the_slot_back()
    {
        await using var database = await TestDatabase.NewAsync();
        var options = TestWorker.Quick with { Slots = 1, LongestWaitInSlot = TimeSpan.FromMilliseconds(100) };
        await using var worker = await StartAsync(
            database,
            (run, input) => input == 1
                ? Task.FromResult(1)
                : run.StepAsync("late", step => step.Attempt == 1 ? throw new RetryAfterException("busy", TimeSpan.FromSeconds(3)) : Task.FromResult(step.Attempt)),
            options);
        var first = await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue });
        await Eventually.TrueAsync(
            async () => await database.ScalarAsync<string>("select state from engine.runs where run_id = @RunId", first) == "waiting", "the run waits");
        await RunAsync(worker, 1);
        Assert.That(await worker.Client.ResultAsync<int>(first.RunId), Is.EqualTo(2));
        Assert.That(await database.ScalarAsync<long>("select epoch from engine.runs where run_id = @RunId", first), Is.EqualTo(2));
    }

    [Test]
    public async Task Code_that_was_left_where_it_waited_never_goes_on_beside_the_next_claim()
    {
        await using var database = await TestDatabase.NewAsync();
        var options = TestWorker.Quick with { LongestWaitInSlot = TimeSpan.FromMilliseconds(100) };
        var calls = new ConcurrentBag<long>();
        await using var worker = await StartAsync(
            database,
            (run, _) => run.StepAsync("late", step =>
            {
                calls.Add(step.FencingToken);
                return step.Attempt == 1 ? throw new RetryAfterException("busy", TimeSpan.FromSeconds(2)) : Task.FromResult(step.Attempt);
            }),
            options);
        var late = await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue });
        Assert.That(await worker.Client.ResultAsync<int>(late.RunId), Is.EqualTo(2));

        // Whatever was left of the first claim would have woken before a run that waits longer has passed its own wait.
        var after = await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue });
        Assert.That(await worker.Client.ResultAsync<int>(after.RunId), Is.EqualTo(2));
        Assert.That(calls.Order(), Is.EqualTo(new[] { 1L, 1L, 2L, 2L }), "each run: once in its first claim, once in its second");
    }

    [Test]
    public async Task A_timer_passes_once_and_survives_the_worker()
    {
        await using var database = await TestDatabase.NewAsync();
        var options = TestWorker.Quick with { LongestWaitInSlot = TimeSpan.FromMilliseconds(100) };
        async Task<int> Code(IWorkflowContext run, int input)
        {
            await run.SleepAsync(TimeSpan.FromSeconds(2));
            return 7;
        }

        Guid runId;
        await using (var worker = await StartAsync(database, Code, options))
        {
            runId = (await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue })).RunId;
            await Eventually.TrueAsync(async () => await database.ScalarAsync<string>("select state from engine.runs") == "waiting", "the run waits");
        }

        await using var another = await StartAsync(database, Code, options);
        Assert.That(await another.Client.ResultAsync<int>(runId), Is.EqualTo(7));
        Assert.That(
            await database.ScalarAsync<bool>("select finished_at - started_at >= interval '2 seconds' from engine.runs"), Is.True);
    }

    [Test]
    public async Task Code_that_changed_under_a_run_fails_it_clearly()
    {
        await using var database = await TestDatabase.NewAsync();
        Guid runId;
        await using (var worker = await StartAsync(database, async (run, _) =>
        {
            await run.StepAsync("old", _ => Task.FromResult(1));
            return await run.StepAsync("wait", async step =>
            {
                await Task.Delay(Timeout.Infinite, step.CancellationToken);
                return 1;
            });
        }, TestWorker.Quick with { ShutdownGrace = TimeSpan.Zero }))
        {
            runId = (await worker.Client.StartAsync("code", 0, new StartOptions { Queue = TestWorker.Queue })).RunId;
            await Eventually.TrueAsync(async () => await database.ScalarAsync<long>("select count(*) from engine.step_record") == 1, "the first step is recorded");
        }

        await using var changed = await StartAsync(database, (run, _) => run.StepAsync("new", _ => Task.FromResult(1)));
        var error = await FailureAsync(() => changed.Client.ResultAsync<int>(runId));
        Assert.That(error.Message, Does.Contain("\"new\" at place 0, where step \"old\" was recorded"));
    }

    private static StepOptions Retrying() =>
        new() { Retry = new RetryPolicy { InitialInterval = TimeSpan.FromMilliseconds(10), MaximumInterval = TimeSpan.FromMilliseconds(50) } };

    private static Task<TestWorker> StartAsync(
        TestDatabase database, Func<IWorkflowContext, int, Task<int>> code, Exporter.Engine.Workers.WorkerOptions? options = null) =>
        TestWorker.StartAsync(
            database.ConnectionString, engine => engine.AddWorkflow<Code>("code"), options, services => services.AddSingleton(new Code(code)));

    private static async Task<RunFailedException> FailureAsync(Func<Task<int>> run) =>
        (await Assert.ThrowsAsync<RunFailedException>(async () => await run()))!;

    private static async Task<int> RunAsync(TestWorker worker, int input = 0)
    {
        var started = await worker.Client.StartAsync("code", input, new StartOptions { Queue = TestWorker.Queue });
        return await worker.Client.ResultAsync<int>(started.RunId);
    }
}

/// <summary>A workflow whose code is the test's.</summary>
internal sealed class Code(Func<IWorkflowContext, int, Task<int>> code) : IWorkflow<int, int>
{
    public Task<int> RunAsync(IWorkflowContext run, int input) => code(run, input);
}
