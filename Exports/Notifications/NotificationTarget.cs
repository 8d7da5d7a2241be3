using System.Net.Mail;
using Exporter.Exports.Destinations;
using Exporter.Exports.Destinations.Webhook;
using Exporter.Exports.Model;

namespace Exporter.Exports.Notifications;

/// <summary>Somebody who is told: by a signed HTTP message or by mail.</summary>
internal sealed record NotificationTarget
{
    /// <summary>Its id. Default a new one, ordered by time.</summary>
    public Guid Id { get; init; } = Guid.CreateVersion7();

    /// <summary>Its name, unique among those of the project; see <see cref="ModelName"/>.</summary>
    public required string Name { get; init; }

    /// <summary>Where messages go by POST, with https or http; null for mail. Kept secret but for its host.</summary>
    public string? Url { get; init; }

    /// <summary>What messages to <see cref="Url"/> are signed with, as Standard Webhooks has it: <c>whsec_</c> and 24 to 64 bytes in base64.</summary>
    public string? Secret { get; init; }

    /// <summary>Who gets mail; none for a URL. At most 50.</summary>
    public IReadOnlyList<string> Email { get; init; } = [];

    /// <summary>What it is told of. Default everything.</summary>
    public IReadOnlyList<NotificationEvent> Events { get; init; } = Enum.GetValues<NotificationEvent>();

    /// <summary>Of which exports, by name. Default, with none, all of the project.</summary>
    public IReadOnlyList<string> BatchExports { get; init; } = [];

    /// <summary><c>webhook</c> or <c>email</c>.</summary>
    public string Kind => Url is null ? "email" : "webhook";

    /// <summary>For people: the receivers, or the host of the URL.</summary>
    public string Address => Url is null ? string.Join(", ", Email) : new Uri(Url).GetComponents(UriComponents.SchemeAndServer, UriFormat.UriEscaped);

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public NotificationTarget Validate()
    {
        ModelName.Check("name", Name);
        if ((Url is null) == (Email.Count == 0))
        {
            throw new UserErrorException("url", "A target has either a url or receivers of email.", "Give --url, or --email once for each receiver.");
        }

        if (Url is not null)
        {
            _ = new WebhookOptions { Url = Url, Secret = Secret ?? "" }.Validate();
            if (Url.AsSpan().ContainsAny(' ', ','))
            {
                throw new UserErrorException("url", "There is more than one URL.", "Make a target for each.");
            }
        }

        ModelCheck.Range("email", Email.Count, 0, 50);
        foreach (var receiver in Email)
        {
            if (!MailAddress.TryCreate(receiver, out var address) || address.Address != receiver)
            {
                throw new UserErrorException("email", $"\"{receiver}\" is no address of mail.", "Write it as ops@example.com, without a name.");
            }
        }

        if (Events.Count == 0)
        {
            throw new UserErrorException("on", "The target is told of nothing.", $"Give one of {string.Join(", ", ExportJson.Words<NotificationEvent>())}.");
        }

        return this;
    }
}

/// <summary>A row of <c>exports.notification_targets</c>.</summary>
internal sealed record NotificationTargetView(
    Guid TargetId, string Name, string Kind, string Address, IReadOnlyList<NotificationEvent> Events, IReadOnlyList<string> BatchExports, string CreatedBy,
    DateTimeOffset CreatedAt, string Project);

/// <summary>A row of <c>exports.notifications</c>.</summary>
internal sealed record NotificationView(
    Guid NotificationId, NotificationEvent Event, string Target, string BatchExport, Guid? RunId, DateTimeOffset? IntervalStart, DateTimeOffset? IntervalEnd,
    string Detail, DateTimeOffset CreatedAt, DateTimeOffset? SentAt, string? State, string? Error, string Project);

/// <summary>A row of <c>exports.troubles</c>.</summary>
internal sealed record TroubleView(
    Guid TroubleId, string BatchExport, string Kind, DateTimeOffset BeganAt, DateTimeOffset? EndedAt, DateTimeOffset IntervalStart,
    DateTimeOffset IntervalEnd, Guid? RunId, string? Setting, string? Error, string Project);
