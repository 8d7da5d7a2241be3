using Azure.Core;
using Azure.Core.Pipeline;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>
/// Repeats a request a few times within seconds. A server that asks for a longer pause is not waited for here, in the midst of an attempt:
/// the run waits, and its slot is free meanwhile.
/// </summary>
internal sealed class ShortRetryPolicy() : RetryPolicy(3, DelayStrategy.CreateExponentialDelayStrategy(TimeSpan.FromMilliseconds(200), LongestPause))
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    protected override bool ShouldRetry(HttpMessage message, Exception? exception) => !AsksForMore(message) && base.ShouldRetry(message, exception);

    protected override async ValueTask<bool> ShouldRetryAsync(HttpMessage message, Exception? exception) =>
        !AsksForMore(message) && await base.ShouldRetryAsync(message, exception).ConfigureAwait(false);

    private static bool AsksForMore(HttpMessage message) => message.HasResponse
        && message.Response.Headers.TryGetValue("Retry-After", out var text)
        && RetryAfter.Of(text, TimeProvider.System) > LongestPause;
}
