using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Files;
using Exporter.Exports.Model;

namespace Exporter.Exports.Tests.Destinations;

public sealed class DestinationCheckTests
{
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
