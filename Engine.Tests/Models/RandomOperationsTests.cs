using System.Collections.Concurrent;
using CsCheck;

namespace Exporter.Engine.Tests.Models;

/// <summary>Random operations on the engine, each compared with what the rules say. A failure prints its shortest sequence and its seed.</summary>
public sealed class RandomOperationsTests
{
    // Claims, records and signals more often, so that there is something to be lost.
    private static readonly Deed[] Deeds =
    [
        .. Enum.GetValues<Deed>(), Deed.Claim, Deed.Claim, Deed.Claim, Deed.Claim, Deed.Claim, Deed.Claim, Deed.Start, Deed.Signal, Deed.Signal, Deed.Kill, Deed.Kill,
        Deed.Record, Deed.Record, Deed.Take, Deed.Take, Deed.CountEvents, Deed.LeaveForEvent, Deed.LeaveForEvent, Deed.RecordFailure,
    ];

    private static readonly Gen<Operation[]> Operations = Gen.Select(
        Gen.Int[0, Deeds.Length - 1],
        Gen.Int[0, 1],
        Gen.Int[0, 1],
        Gen.Int[0, 4],
        Gen.Int[0, 2],
        (deed, run, worker, back, place) => new Operation(Deeds[deed], run, worker, Math.Max(back - 2, 0), place)).Array[1, 60];

    private readonly ConcurrentBag<TestDatabase> _databases = [];
    private readonly ConcurrentDictionary<string, int> _met = [];
    private (Operation[] Operations, string Difference)? _shortest;

    [TearDown]
    public async Task EndAsync()
    {
        foreach (var database in _databases)
        {
            await database.DisposeAsync();
        }

        _databases.Clear();
        _met.Clear();
        _shortest = null;
    }

    [Test]
    public async Task Random_operations_answer_and_leave_what_the_rules_say()
    {
        Assert.That(await SearchAsync(BrokenRule.None, 300), Is.Null);
        foreach (var (met, times) in _met.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            TestContext.Out.WriteLine($"{times,6} {met}");
        }

        // Else the sequences would pass by what they are for.
        foreach (var deed in Enum.GetValues<Deed>().Where(deed => deed is > Deed.CountEvents))
        {
            Assert.That(_met.Keys, Is.SupersetOf(new[] { $"{deed} accepted", $"{deed} refused" }));
        }

        foreach (var deed in Enum.GetValues<Deed>().Where(deed => deed is <= Deed.Claim))
        {
            Assert.That(_met.Keys, Is.SupersetOf(new[] { $"{deed} True", $"{deed} False" }));
        }
    }

    /// <summary>The cancel comes when the worker has already decided to try the run again. Found by the test above.</summary>
    [Test]
    public async Task A_cancelled_run_does_not_wait_for_its_retry()
    {
        await using var database = await TestDatabase.NewAsync();
        var trial = new Trial(database, BrokenRule.None);
        await trial.RunAsync([Of(Deed.Claim), Of(Deed.Cancel), Of(Deed.TryAgain), Of(Deed.Claim), Of(Deed.EndCancelled)]);
        Assert.That(trial.Met["EndCancelled accepted"], Is.EqualTo(1));

        static Operation Of(Deed deed) => new(deed, 0, 0, 0, 0);
    }

    [TestCase(nameof(BrokenRule.StaleWritesAreAccepted))]
    [TestCase(nameof(BrokenRule.RetryKeepsFailures))]
    [TestCase(nameof(BrokenRule.SignalsWakeNobody))]
    [TestCase(nameof(BrokenRule.TakeoverKeepsTheEpoch))]
    [TestCase(nameof(BrokenRule.PlacesAreRecordedAgain))]
    public async Task A_rule_that_the_engine_does_not_keep_is_found(string rule)
    {
        var found = await SearchAsync(Enum.Parse<BrokenRule>(rule), 3000);
        TestContext.Out.WriteLine(found);
        Assert.That(found, Does.Contain("the rules say").And.Contain("seed"));
        Assert.That(found!.Split('\n'), Has.Length.LessThan(12), "it is told in a few operations");
    }

    /// <summary>The shortest sequence that was found to differ, what differs, and its seed; null when none does.</summary>
    private async Task<string?> SearchAsync(BrokenRule broken, long sequences)
    {
        try
        {
            // What comes after the first difference is not looked at: leaving out from that is quicker.
            await Operations.SampleAsync(operations => _shortest is null ? CheckAsync(operations, broken) : Task.CompletedTask, iter: sequences, threads: 2, print: Told);
            return null;
        }
        catch (CsCheckException exception) when (_shortest is not null)
        {
            var (operations, difference) = await WithoutTheNeedlessAsync(broken);
            return $"{Told(operations)}\n{difference}\n{exception.Message.Split('\n')[0]}";
        }
    }

    private async Task CheckAsync(Operation[] operations, BrokenRule broken)
    {
        // One at a time in a database: a sweep takes whatever is lost in it.
        var database = _databases.TryTake(out var one) ? one : await TestDatabase.NewAsync();
        try
        {
            var trial = new Trial(database, broken);
            await trial.RunAsync(operations);
            foreach (var (met, times) in trial.Met)
            {
                _met.AddOrUpdate(met, times, (_, before) => before + times);
            }
        }
        catch (InvalidOperationException difference)
        {
            lock (_met)
            {
                _shortest = _shortest is { } shortest && shortest.Operations.Length <= operations.Length ? _shortest : (operations, difference.Message);
            }

            throw;
        }
        finally
        {
            _databases.Add(database);
        }
    }

    /// <summary>Leaves out each operation without which the sequence still differs, until none is left.</summary>
    private async Task<(Operation[] Operations, string Difference)> WithoutTheNeedlessAsync(BrokenRule broken)
    {
        var before = int.MaxValue;
        while (_shortest!.Value.Operations.Length < before)
        {
            before = _shortest.Value.Operations.Length;
            for (var n = before - 1; n >= 0; n--)
            {
                try
                {
                    await CheckAsync([.. _shortest.Value.Operations.Where((_, at) => at != n)], broken);
                }
                catch (InvalidOperationException)
                {
                    // Noted as the shortest.
                }
            }
        }

        return _shortest.Value;
    }

    private static string Told(Operation[] operations) => string.Join('\n', operations.Select((operation, n) => $"{n + 1,3}. {operation}"));
}
