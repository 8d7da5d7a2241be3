using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>What says to Snowflake who asks: https://docs.snowflake.com/en/developer-guide/sql-api/authenticating.</summary>
internal sealed class SnowflakeCredentials : IDisposable
{
    // The most that Snowflake takes.
    private static readonly TimeSpan Life = TimeSpan.FromHours(1);

    private readonly RSA? _key;
    private readonly string _account;
    private readonly string _user;
    private readonly string _token;
    private readonly TimeProvider _time;
    private readonly OauthRenewal? _renewal;

    /// <summary>Reads the key.</summary>
    /// <param name="options">The account and who asks.</param>
    /// <param name="http">For asking for access tokens.</param>
    /// <param name="time">The clock.</param>
    public SnowflakeCredentials(SnowflakeOptions options, HttpClient http, TimeProvider time)
    {
        (_account, _user, _time) = (AccountOf(options.Account), options.User.ToUpperInvariant(), time);
        _token = options.AccessToken ?? options.OauthToken ?? "";
        if (options.PrivateKey is { } pem)
        {
            _key = Import(pem, options.PrivateKeyPassphrase);
        }

        _renewal = options.OauthRefreshToken is null ? null : new OauthRenewal(options, http, time);
        TokenType = _key is not null ? "KEYPAIR_JWT" : options.AccessToken is not null ? "PROGRAMMATIC_ACCESS_TOKEN" : "OAUTH";
    }

    /// <summary>For the header X-Snowflake-Authorization-Token-Type.</summary>
    public string TokenType { get; }

    /// <summary>
    /// The bearer token of one request. Of a key pair it is made anew each time: one that comes more than 60 s after it was issued may be
    /// refused (394302), and signing takes a millisecond.
    /// </summary>
    public async ValueTask<string> TokenAsync(CancellationToken cancellationToken)
    {
        if (_renewal is not null)
        {
            return await _renewal.TokenAsync(cancellationToken).ConfigureAwait(false);
        }

        return _key is null ? _token : Signed(_key);
    }

    /// <summary>A token was refused: another is asked for, where that can be.</summary>
    public void Forget(string token) => _renewal?.Forget(token);

    public void Dispose()
    {
        _key?.Dispose();
        _renewal?.Dispose();
    }

    private string Signed(RSA key)
    {

        var issued = _time.GetUtcNow();
        var claims = new SortedDictionary<string, object>
        {
            ["iss"] = $"{_account}.{_user}.{Fingerprint(key)}",
            ["sub"] = $"{_account}.{_user}",
            ["iat"] = issued.ToUnixTimeSeconds(),
            ["exp"] = (issued + Life).ToUnixTimeSeconds(),
        };
        var signed = $"{Encode("{\"alg\":\"RS256\",\"typ\":\"JWT\"}"u8)}.{Encode(JsonSerializer.SerializeToUtf8Bytes(claims))}";
        var signature = key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        return $"{signed}.{Encode(signature)}";
    }

    /// <summary>As DESC USER shows it: RSA_PUBLIC_KEY_FP.</summary>
    internal static string Fingerprint(RSA key) => "SHA256:" + Convert.ToBase64String(SHA256.HashData(key.ExportSubjectPublicKeyInfo()));

    // A locator comes without its region, a name of organization and account with a dash.
    internal static string AccountOf(string account)
    {
        var name = account.ToUpperInvariant();
        var end = name.IndexOf(name.Contains(".GLOBAL", StringComparison.Ordinal) ? '-' : '.', StringComparison.Ordinal);
        return end > 0 ? name[..end] : name;
    }

    private static RSA Import(string pem, string? passphrase)
    {
        var key = RSA.Create();
        try
        {
            if (passphrase is null)
            {
                key.ImportFromPem(pem);
            }
            else
            {
                key.ImportFromEncryptedPem(pem, passphrase);
            }

            // A public key can be imported too; it signs nothing.
            _ = key.SignData([], HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
            return key;
        }
        catch (Exception error) when (error is ArgumentException or CryptographicException)
        {
            key.Dispose();
            var locked = pem.Contains("BEGIN ENCRYPTED PRIVATE KEY", StringComparison.Ordinal);
            throw locked
                ? new UserErrorException(
                    SnowflakeOptions.PassphraseSetting, passphrase is null ? "The private key is encrypted." : "The passphrase does not open the private key.", "Give the passphrase that it was made with.", error)
                : new UserErrorException(
                    SnowflakeOptions.PrivateKeySetting, "The private key cannot be read.", "Give an RSA key in PEM, from -----BEGIN PRIVATE KEY----- to its end.", error);
        }
    }

    private static string Encode(ReadOnlySpan<byte> bytes) => Base64Url.EncodeToString(bytes);
}
