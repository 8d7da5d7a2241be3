using System.Net.Sockets;
using Exporter.Exports.Destinations;
using MailKit;
using MailKit.Net.Smtp;
using MailKit.Security;
using MimeKit;

namespace Exporter.Exports.Notifications;

/// <summary>Hands a message to a mail server.</summary>
internal sealed class MailSender(SmtpOptions options)
{
    private const int TimeoutMilliseconds = 60_000;

    public async Task SendAsync(IReadOnlyList<string> receivers, NotificationMessage message, CancellationToken cancellationToken)
    {
        using var mail = new MimeMessage
        {
            Subject = message.Subject,
            // The same at every try, by which mail programs know a repeat.
            MessageId = $"{message.Id:N}@{MailboxAddress.Parse(options.From).Domain}",
            Date = message.At,
            Body = new TextPart("plain") { Text = message.ToText() },
        };
        mail.From.Add(MailboxAddress.Parse(options.From));
        mail.To.AddRange(receivers.Select(MailboxAddress.Parse));
        mail.Headers.Add("Auto-Submitted", "auto-generated");

        using var client = new SmtpClient { Timeout = TimeoutMilliseconds };
        await client.ConnectAsync(options.Host, options.Port, SecurityOf(options.Tls), cancellationToken).ConfigureAwait(false);
        if (options is { User: { } user, Password: { } password })
        {
            await client.AuthenticateAsync(user, password, cancellationToken).ConfigureAwait(false);
        }

        await client.SendAsync(mail, cancellationToken).ConfigureAwait(false);
        await client.DisconnectAsync(quit: true, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Sorts an error of a mail server. Replies of 4xx pass, those of 5xx do not (RFC 5321, 4.2.1).
    /// </summary>
    public static ExportError? Sort(Exception error) => error switch
    {
        AuthenticationException => new(
            ErrorKind.User, $"The mail server does not take the login: {error.Message.Trim()}", "smtp_password", "Correct smtp_user and smtp_password."),
        SslHandshakeException => new(
            ErrorKind.User, "The mail server's certificate is not trusted, or it speaks no TLS there.", "smtp_tls", "Use tls on port 465 and start_tls on 587, with a server whose certificate this machine trusts."),
        SmtpCommandException { StatusCode: >= (SmtpStatusCode)500 } refused => refused.ErrorCode switch
        {
            SmtpErrorCode.SenderNotAccepted => new(ErrorKind.User, $"The mail server does not take mail from there: {refused.Message}", "smtp_from", "Set smtp_from to an address that it takes."),
            SmtpErrorCode.RecipientNotAccepted => new(
                ErrorKind.User, $"The mail server does not take mail to {refused.Mailbox?.Address}: {refused.Message}", "email", "Make the target anew with addresses that it takes."),
            _ => new(ErrorKind.User, $"The mail server refuses the mail: {refused.Message}", "smtp_host", "Ask whoever runs the mail server."),
        },
        SmtpCommandException passing => new(ErrorKind.Transient, $"The mail server asks for another try: {passing.Message}"),
        NotSupportedException => new(ErrorKind.User, $"The mail server cannot do that: {error.Message}", "smtp_tls", "Use start_tls only where the server offers it."),
        ServiceNotAuthenticatedException => new(ErrorKind.User, "The mail server wants a login.", "smtp_user", "Set smtp_user and smtp_password."),
        ProtocolException or SocketException or IOException or TimeoutException => new(ErrorKind.Transient, $"The mail server cannot be reached: {error.Message}"),
        _ => null,
    };

    private static SecureSocketOptions SecurityOf(SmtpTls tls) => tls switch
    {
        SmtpTls.StartTls => SecureSocketOptions.StartTls,
        SmtpTls.Tls => SecureSocketOptions.SslOnConnect,
        _ => SecureSocketOptions.None,
    };
}
