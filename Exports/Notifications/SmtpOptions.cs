using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Notifications;

/// <summary>The server that mail goes out by.</summary>
public sealed record SmtpOptions
{
    /// <summary>Its name or address.</summary>
    public required string Host { get; init; }

    /// <summary>Its port. Default 587; from 1 to 65,535.</summary>
    public int Port { get; init; } = 587;

    /// <summary>How the connection is protected. Default <see cref="SmtpTls.StartTls"/>.</summary>
    public SmtpTls Tls { get; init; } = SmtpTls.StartTls;

    /// <summary>Who logs in. Default nobody.</summary>
    public string? User { get; init; }

    /// <summary>The password of <see cref="User"/>.</summary>
    public string? Password { get; init; }

    /// <summary>Who mail is from.</summary>
    public required string From { get; init; }

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public SmtpOptions Validate()
    {
        ModelCheck.Range("smtp_port", Port, 1, 65_535);
        if (!System.Net.Mail.MailAddress.TryCreate(From, out _))
        {
            throw new UserErrorException("smtp_from", $"\"{From}\" is no address of mail.", "Write it as exporter@example.com.");
        }

        if (User is not null && Tls == SmtpTls.None)
        {
            throw new UserErrorException("smtp_tls", "A password would go over a connection that anybody can read.", "Use start_tls or tls.");
        }

        return (User is null) == (Password is null)
            ? this
            : throw new UserErrorException("smtp_user", "There is a user without a password, or a password without a user.", "Set smtp_user and smtp_password, or neither.");
    }
}

/// <summary>How a connection to a mail server is protected.</summary>
public enum SmtpTls
{
    /// <summary>It begins in the open and must become TLS before anything is said.</summary>
    StartTls,

    /// <summary>It is TLS from its beginning, mostly on port 465.</summary>
    Tls,

    /// <summary>It is not: for a server of the same machine.</summary>
    None,
}
