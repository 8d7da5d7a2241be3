using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// Who gives out tokens and lets in by them: assertions of service accounts as
/// https://developers.google.com/identity/protocols/oauth2/service-account#httprest has them (signature, algorithm, key, issuer, audience, scope, at most
/// an hour of life), and tokens of others as https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token does.
/// </summary>
internal sealed class BigQueryTokens
{
    public const string Account = "exporter@test-project.iam.gserviceaccount.com";
    public const string Subject = "a token of another";

    // "When making an access token request this value is always" this one, wherever it is sent.
    private const string Audience = "https://oauth2.googleapis.com/token";
    private const string Scope = "https://www.googleapis.com/auth/bigquery";

    // One for all tests: to make it takes longer than most of them.
    private static readonly RSA ServiceKey = RSA.Create(2048);
    private readonly ConcurrentDictionary<string, bool> _given = [];

    /// <summary>Of the next requests so many are said to have an expired token; it stays expired.</summary>
    public int Expired { get; set; }

    /// <summary>How many tokens were given.</summary>
    public int Given => _given.Count;

    /// <summary>What the server believes its time to be apart from the machine's.</summary>
    public TimeSpan Skew { get; set; }

    /// <summary>What requests for a token are answered with; 0 as they should be.</summary>
    public int Status { get; set; }

    public static string KeyId => "key-1";

    /// <summary>A service account's key, as Google Cloud makes them.</summary>
    public static string Key(string? account = null, RSA? key = null) => new JsonObject
    {
        ["type"] = "service_account",
        ["project_id"] = "test-project",
        ["private_key_id"] = KeyId,
        ["private_key"] = (key ?? ServiceKey).ExportPkcs8PrivateKeyPem(),
        ["client_email"] = account ?? Account,
        ["client_id"] = "123456789012345678901",

        // Whoever can put a key there could put this there.
        ["token_uri"] = "http://attacker.invalid/token",
    }.ToJsonString();

    /// <summary>POST /token.</summary>
    public async Task<(int Status, JsonObject Body)> TokenAsync(HttpRequest request)
    {
        var form = await request.ReadFormAsync();
        if (Status > 0)
        {
            return (Status, new JsonObject { ["error"] = "internal_failure" });
        }

        return form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" ? Refused("unsupported_grant_type", "Invalid grant_type: " + form["grant_type"])
            : Problem(form["assertion"].ToString()) is var (error, description) ? Refused(error, description)
            : (200, Give());
    }

    /// <summary>POST /sts.</summary>
    public async Task<(int Status, JsonObject Body)> ExchangeAsync(HttpRequest request)
    {
        var form = await request.ReadFormAsync();
        if (form["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange" || form["subject_token"] != Subject || form["scope"] != Scope)
        {
            return Refused("invalid_grant", "The given credential is rejected by the attribute condition.");
        }

        var given = Give();
        given["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token";
        return (200, given);
    }

    /// <summary>Whether a request's token is one that was given.</summary>
    public bool IsKnown(HttpRequest request)
    {
        var header = request.Headers.Authorization.ToString();
        var token = header.StartsWith("Bearer ", StringComparison.Ordinal) ? header[7..] : "";
        if (Expired > 0 && _given.ContainsKey(token))
        {
            Expired--;
            _given[token] = false;
        }

        return _given.TryGetValue(token, out var isGood) && isGood;
    }

    private static (int Status, JsonObject Body) Refused(string error, string description) => (400, new JsonObject { ["error"] = error, ["error_description"] = description });

    private JsonObject Give()
    {
        var token = "ya29." + Convert.ToHexString(RandomNumberGenerator.GetBytes(16));
        _given[token] = true;
        return new JsonObject { ["access_token"] = token, ["expires_in"] = 3599, ["token_type"] = "Bearer" };
    }

    private (string Error, string Description)? Problem(string assertion)
    {
        var parts = assertion.Split('.');
        if (parts.Length != 3)
        {
            return ("invalid_grant", "Bad Request");
        }

        using var head = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[0]));
        using var body = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[1]));
        var claims = body.RootElement;
        var now = TimeProvider.System.GetUtcNow() + Skew;
        var (issued, ends) = (DateTimeOffset.FromUnixTimeSeconds(claims.GetProperty("iat").GetInt64()), DateTimeOffset.FromUnixTimeSeconds(claims.GetProperty("exp").GetInt64()));
        return claims.GetProperty("iss").GetString() != Account ? ("invalid_grant", "Invalid grant: account not found")
            : head.RootElement.GetProperty("alg").GetString() != "RS256" || head.RootElement.GetProperty("kid").GetString() != KeyId
                || !ServiceKey.VerifyData(Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}"), Base64Url.DecodeFromChars(parts[2]), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
                ? ("invalid_grant", "Invalid JWT Signature.")
            : claims.GetProperty("aud").GetString() != Audience ? ("invalid_grant", "Invalid JWT: Failed audience check.")
            : ends < now || issued > now.AddMinutes(1) || ends - issued > TimeSpan.FromHours(1)
                ? ("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
            : claims.GetProperty("scope").GetString() != Scope ? ("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
            : null;
    }
}
