using Exporter.Engine.Observability;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// Sorts errors of source and destination by who has to act, and says it to the engine: what the user has to mend is not
/// tried again; what was throttled waits as long as it was told to; the rest is tried again, spaced out, for ever.
/// </summary>
internal static class ErrorClassifier
{
    /// <summary>Calls code of a step; its errors come sorted.</summary>
    public static async Task<T> SortedAsync<T>(Func<Task<T>> body, IDestination? destination = null)
    {
        try
        {
            return await body().ConfigureAwait(false);
        }
        catch (Exception error) when (
            error is not (OperationCanceledException or NonRetryableException or RetryAfterException)
            && Sort(error, destination) is { } sorted && ForEngine(sorted, error) is { } forEngine)
        {
            throw forEngine;
        }
    }

    /// <summary>Sorts an error; null when neither source nor destination knows it, which makes it a bug.</summary>
    public static ExportError? Sort(Exception error, IDestination? destination) => error is UserErrorException user
        ? new ExportError(ErrorKind.User, user.Problem, user.Setting, user.Advice)
        : destination?.Classify(error) ?? SourceErrors.Classify(error);

    /// <summary>What the engine is to be told; null when the error itself says it, and is tried again.</summary>
    public static Exception? ForEngine(ExportError sorted, Exception error) => sorted.Kind switch
    {
        ErrorKind.User => new NonRetryableException(ErrorText.Scrub(new UserErrorException(
            sorted.Setting ?? "unknown", sorted.Message, sorted.Advice ?? "See the run's log.").Message), error),
        ErrorKind.Throttled => new RetryAfterException(ErrorText.Scrub(sorted.Message), sorted.RetryAfter ?? TimeSpan.FromSeconds(30), error),
        _ => null,
    };
}
