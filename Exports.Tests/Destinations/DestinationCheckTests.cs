using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Files;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class DestinationCheckTests
{
    // As a mount of a server that is gone does.
    [Test]
    public async Task A_step_that_holds_its_thread_and_hears_no_cancellation_is_left_behind()
    {
        await using var destination = new FilesDestination(new FilesOptions { Root = "/" }, new FormatOptions());
        using var never = new ManualResetEventSlim();
        (string, Func<CancellationToken, Task<string>>)[] steps =
        [
            ("connect", _ =>
            {
                never.Wait(CancellationToken.None);
                return Task.FromResult("It is there.");
            }),
        ];
        var results = await DestinationCheck.RunAsync(destination, steps, () => Task.CompletedTask, CancellationToken.None, TimeSpan.FromSeconds(1)).ToListAsync();
        never.Set();

        Assert.That(results.Single(), Is.EqualTo(new CheckResult(
            "connect", Ok: false, "It did not answer within 1 s. Look at the address, and at what lies between.")));
    }

    [Test]
    public async Task A_step_that_never_ends_is_said_in_a_sentence_and_what_was_made_is_removed()
    {
        await using var destination = new FilesDestination(new FilesOptions { Root = "/" }, new FormatOptions());
        var removed = false;
        (string, Func<CancellationToken, Task<string>>)[] steps =
        [
            ("connect", _ => Task.FromResult("It is there.")),
            ("write", async token =>
            {
                await Task.Delay(Timeout.Infinite, token);
                return "";
            }),
            ("read back", _ => throw new InvalidOperationException("It is not tried.")),
        ];
        var results = await DestinationCheck.RunAsync(
            destination,
            steps,
            () =>
            {
                removed = true;
                return Task.CompletedTask;
            },
            CancellationToken.None,
            TimeSpan.FromSeconds(1)).ToListAsync();

        Assert.That(results.Select(result => (result.Step, result.Ok)), Is.EqualTo(new[] { ("connect", true), ("write", false) }));
        Assert.That(results[1].Detail, Does.StartWith("It did not answer within 1 s."));
        Assert.That(removed, Is.True);
    }
}
