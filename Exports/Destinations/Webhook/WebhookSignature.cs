using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>Signatures of Standard Webhooks: HMAC-SHA256 over <c>id.timestamp.body</c>, one for each secret.</summary>
internal sealed class WebhookSignature
{
    private const string Prefix = "whsec_";
    private const int LeastBytes = 24;
    private const int MostBytes = 64;
    private readonly IReadOnlyList<byte[]> _keys;

    /// <exception cref="UserErrorException">A secret is none.</exception>
    public WebhookSignature(string secrets)
    {
        _keys = [.. secrets.Split((char[])[' ', ',', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries).Select(Key)];
        if (_keys.Count == 0)
        {
            throw Wrong();
        }
    }

    /// <summary>A secret that nobody has had before.</summary>
    public static string NewSecret() => Prefix + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    /// <summary>The value of <c>webhook-signature</c>.</summary>
    /// <param name="id">The message's id.</param>
    /// <param name="timestamp">Seconds since 1970, of this try.</param>
    /// <param name="body">The bytes that are sent.</param>
    public string Of(string id, long timestamp, ReadOnlySpan<byte> body)
    {
        var start = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}.{timestamp}."));
        var signatures = new StringBuilder();
        foreach (var key in _keys)
        {
            using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
            hash.AppendData(start);
            hash.AppendData(body);
            signatures.Append(signatures.Length == 0 ? "" : " ").Append("v1,").Append(Convert.ToBase64String(hash.GetHashAndReset()));
        }

        return signatures.ToString();
    }

    private static byte[] Key(string secret)
    {
        var text = secret.StartsWith(Prefix, StringComparison.Ordinal) ? secret[Prefix.Length..] : "";
        var key = new byte[MostBytes + 3];
        return Convert.TryFromBase64String(text, key, out var length) && length is >= LeastBytes and <= MostBytes ? key[..length] : throw Wrong();
    }

    private static UserErrorException Wrong() => new(
        WebhookOptions.SecretSetting,
        "The secret is not whsec_ followed by 24 to 64 bytes in base64.",
        "Make one with: echo whsec_$(openssl rand -base64 32)");
}
