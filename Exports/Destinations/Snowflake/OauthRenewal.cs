using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// Access tokens by the grant of a refresh token: https://docs.snowflake.com/en/user-guide/oauth-custom, and the same at another authority (RFC 6749, 6). A token is asked for when the one at
/// hand ends, or was refused; requests that come meanwhile wait for it. Where an authority gives a new refresh token each time, only this process knows it, so use one whose refresh
/// token can be used again.
/// </summary>
internal sealed class OauthRenewal(SnowflakeOptions options, HttpClient http, TimeProvider time) : IDisposable
{
    // So that a token is not at its end when its request arrives.
    private static readonly TimeSpan Early = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly SemaphoreSlim _one = new(1);
    private string _refresh = options.OauthRefreshToken!;
    private string? _token;
    private DateTimeOffset _ends;

    /// <summary>A token that is good for a while.</summary>
    /// <exception cref="SnowflakeException">The authority refused it, or did not answer.</exception>
    public async Task<string> TokenAsync(CancellationToken cancellationToken)
    {
        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_token is null || time.GetUtcNow() >= _ends)
            {
                await RenewAsync(cancellationToken).ConfigureAwait(false);
            }

            return _token!;
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>A token was refused.</summary>
    public void Forget(string token)
    {
        if (_token == token)
        {
            _token = null;
        }
    }

    public void Dispose() => _one.Dispose();

    private async Task RenewAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Limit);
        using var request = new HttpRequestMessage(HttpMethod.Post, options.TokenUrl)
        {
            Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = _refresh }),
        };
        request.Headers.Accept.ParseAdd("application/json");
        request.Headers.Authorization = new AuthenticationHeaderValue(
            "Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{Uri.EscapeDataString(options.OauthClientId!)}:{Uri.EscapeDataString(options.OauthClientSecret!)}")));
        using var answer = await http.SendAsync(request, limit.Token).ConfigureAwait(false);
        var content = await answer.Content.ReadAsByteArrayAsync(limit.Token).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode)
        {
            throw Refused((int)answer.StatusCode, content, RetryAfter.Of(answer.Headers.RetryAfter, time));
        }

        using var document = JsonDocument.Parse(content);
        var root = document.RootElement;
        var seconds = root.TryGetProperty("expires_in", out var life) && life.TryGetInt64(out var found) ? found : 600;
        _refresh = root.TryGetProperty("refresh_token", out var next) && next.GetString() is { Length: > 0 } given ? given : _refresh;
        _token = root.GetProperty("access_token").GetString();
        _ends = time.GetUtcNow() + TimeSpan.FromSeconds(seconds) - (seconds > 2 * Early.TotalSeconds ? Early : TimeSpan.Zero);
    }

    // Of an error only its name is shown: what stands beside it may repeat a secret.
    private SnowflakeException Refused(int status, byte[] content, TimeSpan? retryAfter)
    {
        var name = "";
        try
        {
            using var document = JsonDocument.Parse(content);
            name = document.RootElement.TryGetProperty("error", out var error) ? error.ToString() : "";
        }
        catch (JsonException)
        {
            // Something that stands between has answered.
        }

        return new SnowflakeException($"{options.TokenUrl.Host} gave no access token: status {status}{(name.Length > 0 ? $", {name}" : "")}.")
        {
            Status = status is 400 or 401 or 403 ? 401 : status,
            Code = name,
            RetryAfter = retryAfter,
        };
    }
}
