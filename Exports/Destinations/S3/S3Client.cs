using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.SecurityToken;
using Amazon.SecurityToken.Model;

namespace Exporter.Exports.Destinations.S3;

/// <summary>Makes clients of the SDK; they connect when they are first used.</summary>
internal static class S3Client
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(15);

    public static AmazonS3Client Create(S3Options options, HttpClientFactory? http)
    {
        var configuration = Common(new AmazonS3Config { ForcePathStyle = options.ForcePathStyle ?? options.IsCompatible }, options, http);
        if (options.IsCompatible)
        {
            configuration.ServiceURL = options.Endpoint;
            configuration.AuthenticationRegion = options.Region;
        }
        else
        {
            configuration.RegionEndpoint = RegionEndpoint.GetBySystemName(options.Region);
        }

        if (!options.IsChunked)
        {
            configuration.RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED;
            configuration.ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED;
        }

        // Without keys and role the SDK looks for them where it always does: environment, files, container, machine.
        AWSCredentials? keys = string.IsNullOrEmpty(options.AccessKey) ? null : new BasicAWSCredentials(options.AccessKey, options.SecretKey);
        var credentials = options.RoleArn is null ? keys : new AssumedRole(options, keys, http);
        return credentials is null ? new AmazonS3Client(configuration) : new AmazonS3Client(credentials, configuration);
    }

    private static T Common<T>(T configuration, S3Options options, HttpClientFactory? http)
        where T : ClientConfig
    {
        configuration.RetryMode = RequestRetryMode.Standard;
        configuration.MaxErrorRetry = 3;
        configuration.ConnectTimeout = ConnectLimit;
        configuration.Timeout = TimeSpan.FromSeconds(options.TimeoutSeconds);
        if (http is not null)
        {
            configuration.HttpClientFactory = http;
        }

        return configuration;
    }

    /// <summary>Keys of a role, assumed with other keys, and again before they end.</summary>
    private sealed class AssumedRole : RefreshingAWSCredentials
    {
        private readonly S3Options _options;
        private readonly AWSCredentials? _keys;
        private readonly HttpClientFactory? _http;

        public AssumedRole(S3Options options, AWSCredentials? keys, HttpClientFactory? http)
        {
            (_options, _keys, _http) = (options, keys, http);
            PreemptExpiryTime = TimeSpan.FromMinutes(5);
        }

        protected override CredentialsRefreshState GenerateNewCredentials() => throw new NotSupportedException("Requests are made asynchronously.");

        protected override async Task<CredentialsRefreshState> GenerateNewCredentialsAsync()
        {
            var configuration = Common(new AmazonSecurityTokenServiceConfig(), _options, _http);
            if (_options.StsEndpoint is { } endpoint)
            {
                configuration.ServiceURL = endpoint;
                configuration.AuthenticationRegion = _options.Region;
            }
            else
            {
                configuration.RegionEndpoint = RegionEndpoint.GetBySystemName(_options.Region);
            }

            using var client = _keys is null
                ? new AmazonSecurityTokenServiceClient(configuration)
                : new AmazonSecurityTokenServiceClient(_keys, configuration);
            var request = new AssumeRoleRequest { RoleArn = _options.RoleArn, ExternalId = _options.ExternalId, RoleSessionName = "exporter" };
            var answer = await client.AssumeRoleAsync(request).ConfigureAwait(false);
            var keys = answer.Credentials;
            return new CredentialsRefreshState(
                new ImmutableCredentials(keys.AccessKeyId, keys.SecretAccessKey, keys.SessionToken), keys.Expiration ?? DateTime.UnixEpoch);
        }
    }
}
