using System.Security.Cryptography;
using System.Text;
using Exporter.Exports.Model;
using Microsoft.AspNetCore.Http;

namespace Exporter.Exports.Api;

/// <summary>Says who asks: by the host's own way, by API key, or by the session of a cookie.</summary>
internal sealed class ApiCallers(SessionStore sessions, ApiKeyStore keys, BatchExportsApiOptions options)
{
    /// <summary>The header with which a page of ours says that a change is meant.</summary>
    public const string CsrfHeader = "X-CSRF-Token";

    // A browser takes a cookie of such a name only over TLS, for the whole host, and from the host itself.
    private const string SecureCookie = "__Host-exporter_session";
    private const string PlainCookie = "exporter_session";

    /// <summary>Who asks; null when that is not known.</summary>
    public async Task<KnownCaller?> FindAsync(HttpContext http, CancellationToken cancellationToken)
    {
        if (options.Authenticate is { } own && await own(http).ConfigureAwait(false) is { } caller)
        {
            return new KnownCaller(caller, null, MustChangePassword: false);
        }

        // A wrong key is not made good by a cookie.
        if (http.Request.Headers.Authorization.ToString() is { Length: > 0 } header)
        {
            const string Scheme = "Bearer ";
            return header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)
                && await keys.FindAsync(header[Scheme.Length..].Trim(), cancellationToken).ConfigureAwait(false) is { } key
                    ? new KnownCaller(key, null, MustChangePassword: false)
                    : null;
        }

        return TokenOf(http) is { } token && await sessions.FindAsync(token, cancellationToken).ConfigureAwait(false) is { } user
            ? new KnownCaller(new Caller(user.Name, user.Grants), token, user.MustChangePassword)
            : null;
    }

    /// <summary>Whether a change that a cookie vouches for comes from a page of ours: it has the session's token, which no other site can read.</summary>
    public static bool IsMeant(HttpContext http, string token) =>
        IsMeant(token, http.Request.Headers[CsrfHeader].ToString());

    /// <summary>The same, with what was sent along: a form has it in a field.</summary>
    public static bool IsMeant(string token, string sent) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(SessionStore.CsrfOf(token)), Encoding.UTF8.GetBytes(sent));

    /// <summary>Gives the browser its session.</summary>
    public static void SetCookie(HttpContext http, string token) => http.Response.Cookies.Append(NameFor(http), token, CookieOf(http, SessionStore.Longest));

    /// <summary>Takes it away.</summary>
    public static void ClearCookie(HttpContext http) => http.Response.Cookies.Delete(NameFor(http), CookieOf(http, null));

    private static string? TokenOf(HttpContext http) => http.Request.Cookies[NameFor(http)] is { Length: > 0 and < 100 } token ? token : null;

    private static string NameFor(HttpContext http) => http.Request.IsHttps ? SecureCookie : PlainCookie;

    private static CookieOptions CookieOf(HttpContext http, TimeSpan? age) => new()
    {
        HttpOnly = true,
        Secure = http.Request.IsHttps,
        SameSite = SameSiteMode.Lax,
        Path = "/",
        MaxAge = age,
        IsEssential = true,
    };
}

/// <summary>Who asks.</summary>
/// <param name="Caller">What they may do.</param>
/// <param name="Session">The token of their session; null when there is none.</param>
/// <param name="MustChangePassword">Whether they have a one-time password, and have to change it first.</param>
internal sealed record KnownCaller(Caller Caller, string? Session, bool MustChangePassword);
