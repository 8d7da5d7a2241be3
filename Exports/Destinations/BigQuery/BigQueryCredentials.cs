using System.Text.Json;
using Google.Apis.Auth.OAuth2;
using Google.Apis.Auth.OAuth2.Responses;
using Google.Apis.Http;
using Google.Apis.Util;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// What says to Google who asks: a service account's key (https://developers.google.com/identity/protocols/oauth2/service-account), a
/// workload identity (https://google.aip.dev/auth/4117), or what the machine has. Tokens are made by Google's own library, and renewed.
/// </summary>
internal sealed class BigQueryCredentials(BigQueryOptions options, TimeProvider time) : IDisposable
{
    /// <summary>The only thing that a token allows.</summary>
    public const string Scope = "https://www.googleapis.com/auth/bigquery";

    private readonly SemaphoreSlim _one = new(1);
    private ITokenAccess? _access;

    /// <summary>Throws when what is given cannot be credentials.</summary>
    public static void Check(BigQueryOptions options)
    {
        if (options.Credentials is not null)
        {
            using var json = Parse(options);
            Check(json.RootElement, options);
        }
    }

    /// <summary>The bearer token of a request; null where nobody is asked who he is.</summary>
    /// <param name="renew">Whether the last one was refused.</param>
    /// <param name="cancellationToken">Cancels it.</param>
    /// <exception cref="TokenResponseException">Google does not give one.</exception>
    public async Task<string?> TokenAsync(bool renew, CancellationToken cancellationToken)
    {
        if (options.IsAnonymous)
        {
            return null;
        }

        await _one.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (renew)
            {
                // A token lives for an hour in the library, whatever became of it.
                _access = null;
            }

            _access ??= await OpenAsync(cancellationToken).ConfigureAwait(false);
            return await _access.GetAccessTokenForRequestAsync(null, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _one.Release();
        }
    }

    public void Dispose() => _one.Dispose();

    private async Task<ITokenAccess> OpenAsync(CancellationToken cancellationToken)
    {
        if (options.Credentials is null)
        {
            try
            {
                return (await GoogleCredential.GetApplicationDefaultAsync(cancellationToken).ConfigureAwait(false)).CreateScoped(Scope);
            }
            catch (InvalidOperationException error)
            {
                throw new UserErrorException(
                    BigQueryOptions.CredentialsSetting, "This machine has no credentials for Google Cloud.", "Give the key of a service account, or give the machine an identity.", error);
            }
        }

        using var json = Parse(options);
        if (Text(json.RootElement, "type") == "external_account")
        {
            return CredentialFactory.FromJson(options.Credentials, JsonCredentialParameters.ExternalAccountCredentialType).CreateScoped(Scope);
        }

        // The address in the key is not used: whoever could put a key there could have our assertions sent anywhere.
        return new ServiceAccountCredential(new ServiceAccountCredential.Initializer(Text(json.RootElement, "client_email"), options.Token)
        {
            Scopes = [Scope],
            KeyId = Text(json.RootElement, "private_key_id"),
            Clock = new Clock(time),

            // Repeats are made in one place, with those of the request.
            DefaultExponentialBackOffPolicy = ExponentialBackOffPolicy.None,
        }.FromPrivateKey(Text(json.RootElement, "private_key")));
    }

    private static JsonDocument Parse(BigQueryOptions options)
    {
        try
        {
            return JsonDocument.Parse(options.Credentials!);
        }
        catch (JsonException error)
        {
            throw new UserErrorException(BigQueryOptions.CredentialsSetting, "The credentials are no JSON.", "Give the whole file that Google Cloud made, not its path.", error);
        }
    }

    private static void Check(JsonElement json, BigQueryOptions options)
    {
        switch (json.ValueKind == JsonValueKind.Object ? Text(json, "type") : "")
        {
            case "service_account":
                if (Text(json, "client_email").Length == 0)
                {
                    throw Refused("The key of the service account has no client_email.");
                }

                try
                {
                    _ = new ServiceAccountCredential.Initializer(Text(json, "client_email"), options.Token).FromPrivateKey(Text(json, "private_key"));
                }
                catch (Exception error) when (error is ArgumentException or System.Security.Cryptography.CryptographicException or FormatException or InvalidOperationException or IndexOutOfRangeException)
                {
                    throw new UserErrorException(BigQueryOptions.CredentialsSetting, "The private key in the credentials cannot be read.", "Give the whole file that Google Cloud made.");
                }

                break;
            case "external_account":
                CheckExternal(json, options);
                break;
            case var type:
                throw Refused($"The credentials are of type \"{type}\".");
        }
    }

    // https://cloud.google.com/docs/authentication/external/externally-sourced-credentials: who writes such a file decides what is read,
    // called and executed. Only Google's own services give tokens, or the host of token_url, and no
    // command is executed.
    private static void CheckExternal(JsonElement json, BigQueryOptions options)
    {
        var own = options.TokenUrl is { } tokens ? new Uri(tokens).Authority : null;
        foreach (var name in new[] { "token_url", "service_account_impersonation_url", "token_info_url" })
        {
            var url = Text(json, name);
            var given = url.Length > 0 || name == "token_url";
            if (given && !(Uri.TryCreate(url, UriKind.Absolute, out var uri)
                && (uri.Authority == own || (uri.Scheme == "https" && uri.Host.EndsWith(".googleapis.com", StringComparison.OrdinalIgnoreCase)))))
            {
                throw Refused($"The {name} of the workload identity is not one of Google's: \"{url}\".");
            }
        }

        if (!json.TryGetProperty("credential_source", out var source) || source.ValueKind != JsonValueKind.Object || source.TryGetProperty("executable", out _))
        {
            throw Refused("The workload identity has no credential_source that is a file, a URL or AWS.");
        }
    }

    private static UserErrorException Refused(string problem) => new(
        BigQueryOptions.CredentialsSetting, problem, "Give the key of a service account, or the configuration of a workload identity federation, as Google Cloud made it.");

    private static string Text(JsonElement json, string name) => json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    private sealed class Clock(TimeProvider time) : IClock
    {
        [Obsolete("Of the interface.")]
        public DateTime Now => time.GetLocalNow().DateTime;

        public DateTime UtcNow => time.GetUtcNow().UtcDateTime;
    }
}
