using System.Net;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>What receivers answer, and errors of the way there, sorted by who has to act.</summary>
internal static class WebhookErrors
{
    public static ExportError? Sort(Exception error) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        WebhookSilenceException { InnerException: HttpRequestException { InnerException: UserErrorException user } } => Sort(user),
        WebhookSilenceException { InnerException: HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } } => new(
            ErrorKind.User, error.Message, WebhookOptions.UrlSetting, "Give a URL whose certificate this machine trusts."),
        WebhookSilenceException => new(ErrorKind.Transient, error.Message),
        WebhookAnswerException answer => Sort(answer),
        _ => null,
    };

    private static ExportError Sort(WebhookAnswerException answer) => answer.Status switch
    {
        HttpStatusCode.TooManyRequests => new(ErrorKind.Throttled, answer.Message, RetryAfter: answer.RetryAfter),
        _ when answer.IsPassing => new(answer.RetryAfter is null ? ErrorKind.Transient : ErrorKind.Throttled, answer.Message, RetryAfter: answer.RetryAfter),
        HttpStatusCode.Gone => User(answer, answer.Receiver.Setting, "It wants no more messages; the export was paused. Ask its owner, then export the interval again and unpause.") with
        {
            PausesExport = true,
        },
        >= HttpStatusCode.MultipleChoices and < HttpStatusCode.BadRequest => User(
            answer, answer.Receiver.Setting, "Redirects are not followed, so that nobody can lead messages elsewhere: give the URL where messages are taken."),
        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => User(
            answer, WebhookOptions.SecretSetting, "Compare the secret and the clock with the receiver's, and secret_headers with what it asks for."),
        HttpStatusCode.NotFound or HttpStatusCode.MethodNotAllowed => User(answer, answer.Receiver.Setting, "Give the URL where messages are taken by POST."),
        HttpStatusCode.RequestEntityTooLarge => User(answer, WebhookOptions.BatchBytesSetting, "Make messages smaller."),
        HttpStatusCode.UnsupportedMediaType => User(answer, WebhookOptions.ContentTypeSetting, "Set body, content_type and gzip to what the receiver understands."),
        _ => User(answer, WebhookOptions.RejectedSetting, "Correct what the receiver refuses, or set rejected to dead_letter to keep such messages aside."),
    };

    private static ExportError User(WebhookAnswerException answer, string setting, string advice) => new(ErrorKind.User, answer.Message, setting, advice);
}
