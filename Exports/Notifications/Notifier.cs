using System.Text;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;

namespace Exporter.Exports.Notifications;

/// <summary>Sends a message to a target, once.</summary>
/// <param name="time">The time of this process, for signatures.</param>
/// <param name="smtp">The server that mail goes out by; null: there is none, and mail is refused.</param>
internal sealed class Notifier(TimeProvider time, SmtpOptions? smtp = null)
{
    /// <summary>Returns when the target, or the next mail server, has it.</summary>
    public async Task SendAsync(NotificationTarget target, NotificationMessage message, CancellationToken cancellationToken)
    {
        if (target.Url is null)
        {
            var mail = new MailSender(smtp ?? throw new UserErrorException(
                "smtp_host", $"{target.Name} gets mail, and no mail server is set.", "Set EXPORTER_SMTP_HOST and EXPORTER_SMTP_FROM for the worker."));
            await mail.SendAsync(target.Email, message, cancellationToken).ConfigureAwait(false);
            return;
        }

        var options = new WebhookOptions { Url = target.Url, Secret = target.Secret ?? "" };
        using var http = WebhookReceiver.NewClient();
        using var endpoint = new WebhookEndpoint(WebhookReceiver.All(options)[0], options, http, "application/json", time);
        await endpoint.SendAsync(
            $"ntf_{message.Id:N}", Encoding.UTF8.GetBytes(message.ToJson().ToJsonString(ExportJson.Options)), null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends a trial.</summary>
    /// <exception cref="UserErrorException">It could not be sent.</exception>
    public async Task TryAsync(NotificationTarget target, string project, CancellationToken cancellationToken)
    {
        try
        {
            await SendAsync(target, NotificationMessage.Trial(project, time.GetUtcNow()), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is not UserErrorException && Sort(error) is { } sorted)
        {
            throw new UserErrorException(
                sorted.Setting ?? (target.Url is null ? "smtp_host" : "url"), sorted.Message, sorted.Advice ?? "Try again; a worker would.", error);
        }
    }

    /// <summary>Sorts an error of sending; null when it is none that is known.</summary>
    public static ExportError? Sort(Exception error) => WebhookErrors.Sort(error) ?? MailSender.Sort(error);
}
