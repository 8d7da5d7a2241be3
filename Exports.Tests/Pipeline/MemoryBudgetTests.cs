using Exporter.Exports.Pipeline;

namespace Exporter.Exports.Tests.Pipeline;

/// <summary>Lanes together hold no more than the budget, and nobody waits for ever.</summary>
public sealed class MemoryBudgetTests
{
    [Test]
    public async Task Many_lanes_together_stay_within_the_budget_and_all_get_through()
    {
        var budget = new MemoryBudget(100);
        var most = 0L;
        await Task.WhenAll(Enumerable.Range(0, 50).Select(lane => Task.Run(async () =>
        {
            for (var turn = 0; turn < 200; turn++)
            {
                var bytes = 1 + ((lane * 7) + turn) % 60;
                await budget.AcquireAsync(bytes, default);
                var used = budget.Used;
                for (var seen = Volatile.Read(ref most); seen < used; seen = Volatile.Read(ref most))
                {
                    Interlocked.CompareExchange(ref most, used, seen);
                }

                await Task.Yield();
                budget.Release(bytes);
            }
        })));
        Assert.That(most, Is.InRange(60, 100));
        Assert.That(budget.Used, Is.Zero);
    }

    [Test]
    public async Task What_is_larger_than_the_budget_passes_alone()
    {
        var budget = new MemoryBudget(10);
        await budget.AcquireAsync(1, default);
        var large = budget.AcquireAsync(1000, default);
        Assert.That(large.IsCompleted, Is.False);
        budget.Release(1);
        await large;
        Assert.That(budget.Used, Is.EqualTo(1000));
    }

    [Test]
    public async Task Who_gives_up_waiting_does_not_hold_up_others()
    {
        var budget = new MemoryBudget(10);
        await budget.AcquireAsync(8, default);
        using var giveUp = new CancellationTokenSource();
        var first = budget.AcquireAsync(5, giveUp.Token);
        var second = budget.AcquireAsync(2, default);
        Assert.That(second.IsCompleted, Is.False, "first come, first served");
        await giveUp.CancelAsync();
        await Assert.ThrowsAsync<TaskCanceledException>(async () => await first);
        await second;
        Assert.That(budget.Used, Is.EqualTo(10));
    }
}
