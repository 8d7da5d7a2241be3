using System.Globalization;
using System.Runtime.CompilerServices;

namespace Exporter.Exports.Destinations;

/// <summary>The steps of a check, tried in their order up to the first that fails; what they made is removed in any case.</summary>
internal static class DestinationCheck
{
    // Longer than any destination takes for one small thing, and as long as somebody waits before a terminal.
    private static readonly TimeSpan LongestStep = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestRemoval = TimeSpan.FromSeconds(10);

    /// <summary>Runs a check.</summary>
    /// <param name="destination">Sorts the errors.</param>
    /// <param name="steps">Names and bodies; a body answers what it found.</param>
    /// <param name="remove">Removes what the steps made, and whatever of it is there.</param>
    /// <param name="cancellationToken">Cancels the check, not the removal.</param>
    /// <param name="limit">How long a step may take. Default a minute.</param>
    public static async IAsyncEnumerable<CheckResult> RunAsync(
        IDestination destination,
        IReadOnlyList<(string Name, Func<CancellationToken, Task<string>> Body)> steps,
        Func<Task> remove,
        [EnumeratorCancellation] CancellationToken cancellationToken,
        TimeSpan? limit = null)
    {
        try
        {
            foreach (var (name, body) in steps)
            {
                var result = await TryAsync(destination, name, body, limit ?? LongestStep, cancellationToken).ConfigureAwait(false);
                yield return result;
                if (!result.Ok)
                {
                    yield break;
                }
            }
        }
        finally
        {
            try
            {
                await Task.Run(remove, CancellationToken.None).WaitAsync(LongestRemoval, CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception)
            {
                // The step that failed said why; a second message about the same cause helps nobody.
            }
        }
    }

    private static async Task<CheckResult> TryAsync(
        IDestination destination, string name, Func<CancellationToken, Task<string>> body, TimeSpan limit, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(limit);
        try
        {
            // A dead mount holds its caller whatever was cancelled, so it is left behind on a thread of its own.
            var found = await Task.Run(() => body(patience.Token), patience.Token).WaitAsync(patience.Token).ConfigureAwait(false);
            return new CheckResult(name, Ok: true, found);
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return new CheckResult(
                name, Ok: false, string.Create(CultureInfo.InvariantCulture, $"It did not answer within {limit.TotalSeconds:0} s. Look at the address, and at what lies between."));
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested && destination.Classify(error) is { } sorted)
        {
            var setting = sorted.Setting is null ? "" : $" Setting: {sorted.Setting}.";
            var advice = sorted.Advice is null ? "" : $" {sorted.Advice}";
            return new CheckResult(name, Ok: false, sorted.Message + setting + advice);
        }
    }
}
