using System.Globalization;
using System.Net;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>A receiver answered otherwise than that it has the message.</summary>
internal sealed class WebhookAnswerException(WebhookReceiver receiver, HttpStatusCode status, string text, TimeSpan? retryAfter = null)
    : Exception(string.Create(CultureInfo.InvariantCulture, $"{receiver.Name} answered {(int)status}{(text.Length == 0 ? "" : ": " + text)}"))
{
    public WebhookReceiver Receiver { get; } = receiver;

    public HttpStatusCode Status { get; } = status;

    /// <summary>How long it wants us to wait.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;

    /// <summary>Whether the same message may be taken at another time.</summary>
    public bool IsPassing => Status is HttpStatusCode.RequestTimeout or (HttpStatusCode)425 or HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError;

    /// <summary>Whether it is this message that is refused, and not this sender or this URL.</summary>
    public bool IsRefusal => (int)Status is >= 400 and < 500 && !IsPassing && Status != HttpStatusCode.Gone;
}

/// <summary>A receiver did not answer at all.</summary>
internal sealed class WebhookSilenceException(WebhookReceiver receiver, string problem, Exception inner) : Exception($"{receiver.Name} {problem}", inner);
