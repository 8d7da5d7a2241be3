using System.Globalization;
using System.Net.Http.Headers;

namespace Exporter.Exports.Destinations;

/// <summary>How long another server wants us to wait: <c>Retry-After</c>, in seconds or as a date.</summary>
internal static class RetryAfter
{
    /// <summary>A server that says a year is wrong or does not want us; we look again after this long.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(24);

    /// <summary>From a header that is read already; null when there is none.</summary>
    public static TimeSpan? Of(RetryConditionHeaderValue? header, TimeProvider time) => header switch
    {
        { Delta: { } delta } => Bounded(delta),
        { Date: { } date } => Bounded(date - time.GetUtcNow()),
        _ => null,
    };

    /// <summary>From a header's text; null when it is none.</summary>
    public static TimeSpan? Of(string? header, TimeProvider time) =>
        double.TryParse(header, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && double.IsFinite(seconds)
            ? Bounded(seconds > Longest.TotalSeconds ? Longest : TimeSpan.FromSeconds(seconds))
            : RetryConditionHeaderValue.TryParse(header, out var parsed) ? Of(parsed, time) : null;

    private static TimeSpan Bounded(TimeSpan wait) => wait < TimeSpan.Zero ? TimeSpan.Zero : wait > Longest ? Longest : wait;
}
