using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// Who may in, as https://docs.snowflake.com/en/developer-guide/sql-api/authenticating and the troubleshooting page of key pairs have it:
/// signature, algorithm, issuer, subject, fingerprint, at most an hour of life, at most a minute of age.
/// </summary>
internal sealed class SnowflakeTokens(string account, string user) : IDisposable
{
    private readonly RSA _key = RSA.Create(2048);

    /// <summary>The user's private key.</summary>
    public string PrivateKey => _key.ExportPkcs8PrivateKeyPem();

    public string AccessToken { get; } = "pat-" + Convert.ToHexString(RandomNumberGenerator.GetBytes(16));

    /// <summary>By which access tokens are given; null when it was revoked.</summary>
    public string? RefreshToken { get; set; } = "refresh-" + Convert.ToHexString(RandomNumberGenerator.GetBytes(16));

    public string ClientId { get; } = "client+id=";

    public string ClientSecret { get; } = "se/cr:et+" + Convert.ToHexString(RandomNumberGenerator.GetBytes(16));

    /// <summary>How many access tokens were given.</summary>
    public int Given { get; private set; }

    public string OauthToken { get; private set; } = "oauth-" + Convert.ToHexString(RandomNumberGenerator.GetBytes(16));

    /// <summary>Of the next tokens so many are said to be expired, whatever they are.</summary>
    public int Expired { get; set; }

    /// <summary>What the server believes its time to be apart from the machine's.</summary>
    public TimeSpan Skew { get; set; }

    public string Encrypted(string passphrase) =>
        _key.ExportEncryptedPkcs8PrivateKeyPem(passphrase, new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 10_000));

    /// <summary>Why a request is refused: code and message; null when it is not.</summary>
    public (string Code, string Message)? Problem(HttpRequest request)
    {
        var header = request.Headers.Authorization.ToString();
        var token = header.StartsWith("Bearer ", StringComparison.Ordinal) ? header[7..] : "";
        if (Expired > 0)
        {
            Expired--;
            return ("390318", "OAuth access token expired. [" + Guid.NewGuid() + "]");
        }

        return request.Headers["X-Snowflake-Authorization-Token-Type"].ToString() switch
        {
            "KEYPAIR_JWT" => JwtProblem(token) is { } code ? (code, $"JWT token is invalid. [{Guid.NewGuid()}]") : null,
            "PROGRAMMATIC_ACCESS_TOKEN" => token == AccessToken ? null : ("394400", "Programmatic access token is invalid."),
            "OAUTH" => token == OauthToken ? null : ("390303", $"Invalid OAuth access token. [{Guid.NewGuid()}]"),
            _ => ("390144", "The header X-Snowflake-Authorization-Token-Type is missing."),
        };
    }

    /// <summary>https://docs.snowflake.com/en/user-guide/oauth-custom: the client by Basic authentication, the grant as a form; a token lives 10 minutes.</summary>
    public async Task GiveAsync(HttpContext http)
    {
        var basic = http.Request.Headers.Authorization.ToString().Split(' ');
        var client = basic is ["Basic", var encoded] ? Encoding.UTF8.GetString(Convert.FromBase64String(encoded)).Split(':') : [];
        var form = await http.Request.ReadFormAsync();
        var (status, answer) = client is not [var id, var secret] || Uri.UnescapeDataString(id) != ClientId || Uri.UnescapeDataString(secret) != ClientSecret
            ? (401, (object)new { error = "invalid_client", message = "The client secret supplied for a confidential client is invalid." })
            : form["grant_type"] != "refresh_token" || form["refresh_token"] != RefreshToken || RefreshToken is null
                ? (400, new { error = "invalid_grant", message = "Invalid refresh token." })
                : (200, new { access_token = NextToken(), token_type = "Bearer", expires_in = 600, username = user, scope = "session:role:LOADER" });
        http.Response.StatusCode = status;
        await http.Response.WriteAsJsonAsync(answer);
    }

    public void Dispose() => _key.Dispose();

    private string NextToken()
    {
        Given++;
        return OauthToken = "oauth-" + Convert.ToHexString(RandomNumberGenerator.GetBytes(16));
    }

    private string? JwtProblem(string token)
    {
        var parts = token.Split('.');
        if (parts.Length != 3)
        {
            return "390144";
        }

        using var head = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[0]));
        using var body = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[1]));
        var fingerprint = "SHA256:" + Convert.ToBase64String(SHA256.HashData(_key.ExportSubjectPublicKeyInfo()));
        var claims = body.RootElement;
        var now = TimeProvider.System.GetUtcNow() + Skew;
        if (head.RootElement.GetProperty("alg").GetString() != "RS256")
        {
            return "394305";
        }

        var issuer = claims.GetProperty("iss").GetString()!;
        var subject = string.Create(CultureInfo.InvariantCulture, $"{account}.{user}");
        if (!issuer.StartsWith(account + ".", StringComparison.Ordinal))
        {
            return "394307";
        }

        if (!issuer.StartsWith(subject + ".", StringComparison.Ordinal) || claims.GetProperty("sub").GetString() != subject)
        {
            return "394300";
        }

        if (issuer != $"{subject}.{fingerprint}")
        {
            return "394304";
        }

        if (!claims.TryGetProperty("iat", out var iat) || !claims.TryGetProperty("exp", out var exp))
        {
            return "394301";
        }

        var (issued, ends) = (DateTimeOffset.FromUnixTimeSeconds(iat.GetInt64()), DateTimeOffset.FromUnixTimeSeconds(exp.GetInt64()));
        if ((now - issued).Duration() > TimeSpan.FromSeconds(60))
        {
            return "394302";
        }

        return ends < now || ends - issued > TimeSpan.FromHours(1) ? "394303"
            : !_key.VerifyData(Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}"), Base64Url.DecodeFromChars(parts[2]), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1) ? "390144"
            : null;
    }
}
