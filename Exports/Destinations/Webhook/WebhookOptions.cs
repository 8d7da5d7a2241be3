using System.Text.Json.Serialization;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>Receivers of messages, and how rows become messages.</summary>
internal sealed class WebhookOptions
{
    public const string UrlSetting = "url";
    public const string SecretUrlSetting = "secret_url";
    public const string SecretSetting = "secret";
    public const string BodySetting = "body";
    public const string TemplateSetting = "template";
    public const string ContentTypeSetting = "content_type";
    public const string BatchRowsSetting = "batch_rows";
    public const string BatchBytesSetting = "batch_bytes";
    public const string HeadersSetting = "headers";
    public const string SecretHeadersSetting = "secret_headers";
    public const string RateSetting = "requests_per_second";
    public const string ConcurrencySetting = "concurrency";
    public const string InOrderSetting = "in_order";
    public const string GzipSetting = "gzip";
    public const string RejectedSetting = "rejected";
    public const string TimeoutSetting = "timeout_seconds";

    public static DestinationKind Kind { get; } = new()
    {
        Name = "webhook",
        Description = "Signed HTTP messages with batches of rows, as Standard Webhooks has them.",
        Settings =
        [
            new(UrlSetting, SettingType.Text, "Where messages go, with https or http; several, separated by spaces, each get every message. Required, or secret_url.") { Asked = true },
            new(SecretUrlSetting, SettingType.Text, "The same, of URLs that nobody may read.") { Secret = true },
            new(SecretSetting, SettingType.Text, "What messages are signed with: whsec_ and 24 to 64 bytes in base64; several, separated by spaces, while one replaces another.")
            {
                Secret = true, Required = true,
            },
            new(BodySetting, SettingType.Text, "ndjson (a row a line), json (an array of rows) or template. Default ndjson."),
            new(TemplateSetting, SettingType.Text, "The body around {{rows}}, or {{row}} and {{row.COLUMN}} with batch_rows 1; also {{id}}, {{export}}, {{interval_start}}, {{interval_end}}, {{slice}}, {{batch}}, {{count}}."),
            new(ContentTypeSetting, SettingType.Text, "The Content-Type. Default application/x-ndjson, or application/json."),
            new(BatchRowsSetting, SettingType.Number, "Rows of a message at most. Default 500; from 1 to 100000."),
            new(BatchBytesSetting, SettingType.Number, "Bytes of a message's rows at most; a longer row comes alone. Default 1048576; from 1024 to 67108864."),
            new(HeadersSetting, SettingType.Text, "Headers of every message, as a JSON object of texts. Default none."),
            new(SecretHeadersSetting, SettingType.Text, "The same, of headers that nobody may read, such as Authorization.") { Secret = true },
            new(RateSetting, SettingType.Number, "Requests a second at most, to each URL and of each run. Default no limit; from 1 to 10000."),
            new(ConcurrencySetting, SettingType.Number, "Messages on their way at once, to each URL and of each run. Default 4, with in_order 1; from 1 to 64."),
            new(InOrderSetting, SettingType.Boolean, "Whether a run's messages come one after another, by the cursor column. Default false."),
            new(GzipSetting, SettingType.Boolean, "Whether bodies are compressed. Default false."),
            new(RejectedSetting, SettingType.Text, "What becomes of a message that is refused for good: fail (the run stops) or dead_letter (it is kept aside, to be sent again). Default fail."),
            new(TimeoutSetting, SettingType.Number, "Seconds until an answer must be there. Default 30; from 1 to 60."),
        ],
        Open = (destination, format) => new WebhookDestination(DestinationOptions.Read<WebhookOptions>(destination).Validate(), format),
    };

    public string Url { get; init; } = "";

    public string SecretUrl { get; init; } = "";

    public required string Secret { get; init; }

    public string Body { get; init; } = "ndjson";

    public string? Template { get; init; }

    public string? ContentType { get; init; }

    public int BatchRows { get; init; } = 500;

    public int BatchBytes { get; init; } = 1024 * 1024;

    public string Headers { get; init; } = "{}";

    public string SecretHeaders { get; init; } = "{}";

    public int? RequestsPerSecond { get; init; }

    public int? Concurrency { get; init; }

    public bool InOrder { get; init; }

    public bool Gzip { get; init; }

    public string Rejected { get; init; } = "fail";

    public int TimeoutSeconds { get; init; } = 30;

    /// <summary>Messages on their way at once.</summary>
    [JsonIgnore]
    public int AtOnce => Concurrency ?? (InOrder ? 1 : 4);

    /// <summary>Whether what is refused for good is kept aside.</summary>
    [JsonIgnore]
    public bool KeepsRejected => Rejected == "dead_letter";

    public WebhookOptions Validate()
    {
        var receivers = WebhookReceiver.All(this);
        if (receivers.Count == 0)
        {
            throw new UserErrorException(UrlSetting, "url is missing.", "Give the URL that messages go to, or secret_url.");
        }

        if (receivers.GroupBy(receiver => receiver.Key, StringComparer.Ordinal).FirstOrDefault(group => group.Skip(1).Any()) is { } twice)
        {
            throw new UserErrorException(UrlSetting, $"{twice.First().Name} is given twice.", "Give each URL once.");
        }

        _ = new WebhookSignature(Secret);
        _ = WebhookHeaders.Of(this);
        _ = MessageBody.Of(this);
        Range(BatchRowsSetting, BatchRows, 1, 100_000);
        Range(BatchBytesSetting, BatchBytes, 1_024, 64 * 1024 * 1024);
        Range(RateSetting, RequestsPerSecond ?? 1, 1, 10_000);
        Range(ConcurrencySetting, AtOnce, 1, 64);
        Range(TimeoutSetting, TimeoutSeconds, 1, 60);
        if (Rejected is not ("fail" or "dead_letter"))
        {
            throw new UserErrorException(RejectedSetting, $"\"{Rejected}\" is no way to handle messages that are refused.", "Use fail or dead_letter.");
        }

        if (InOrder && AtOnce != 1)
        {
            throw new UserErrorException(ConcurrencySetting, $"{AtOnce} messages at once have no order.", "Leave concurrency out, or in_order.");
        }

        return this;
    }

    private static void Range(string setting, int value, int least, int most) => ModelCheck.Range(setting, value, least, most);
}
