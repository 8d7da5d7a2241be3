using System.Net.Http.Headers;
using System.Text.Json;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>The headers that a user adds to every message.</summary>
internal static class WebhookHeaders
{
    private static readonly string[] Ours =
        ["host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "idempotency-key", "expect", "upgrade"];

    /// <summary>Names and values.</summary>
    /// <exception cref="UserErrorException">One cannot be a header, or is one of ours.</exception>
    public static IReadOnlyList<KeyValuePair<string, string>> Of(WebhookOptions options) =>
    [
        .. Read(WebhookOptions.HeadersSetting, options.Headers),
        .. Read(WebhookOptions.SecretHeadersSetting, options.SecretHeaders),
    ];

    private static Dictionary<string, string> Read(string setting, string text)
    {
        Dictionary<string, string> headers;
        try
        {
            headers = JsonSerializer.Deserialize<Dictionary<string, string>>(text) ?? [];
        }
        catch (JsonException error)
        {
            // Not the text: it may be secret.
            throw new UserErrorException(setting, $"{setting} is no JSON object of texts.", """Write it as {"X-Team": "data"}.""", error);
        }

        using var probe = new HttpRequestMessage();
        foreach (var (name, value) in headers)
        {
            if (Ours.Contains(name, StringComparer.OrdinalIgnoreCase) || name.StartsWith("webhook-", StringComparison.OrdinalIgnoreCase))
            {
                throw new UserErrorException(setting, $"The header {name} is the exporter's own.", "Leave it out.");
            }

            if (value is null || value.AsSpan().ContainsAny("\r\n\0") || !IsValid(probe.Headers, name, value))
            {
                throw new UserErrorException(setting, $"\"{name}\" cannot be a header with that value.", "Use a name of letters, digits and dashes, and a value of one line.");
            }
        }

        return headers;
    }

    private static bool IsValid(HttpRequestHeaders headers, string name, string value)
    {
        try
        {
            return headers.TryAddWithoutValidation(name, value);
        }
        catch (FormatException)
        {
            return false;
        }
    }
}
