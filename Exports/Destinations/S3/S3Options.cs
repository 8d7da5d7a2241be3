using System.Globalization;
using System.Text.Json.Serialization;
using Amazon;
using Amazon.Runtime;
using Amazon.S3;

namespace Exporter.Exports.Destinations.S3;

/// <summary>A bucket of Amazon S3, or of a server that speaks its protocol.</summary>
internal sealed class S3Options
{
    public const string BucketSetting = "bucket";
    public const string PrefixSetting = "prefix";
    public const string RegionSetting = "region";
    public const string EndpointSetting = "endpoint";
    public const string PathStyleSetting = "force_path_style";
    public const string AccessKeySetting = "access_key";
    public const string SecretKeySetting = "secret_key";
    public const string PartSizeSetting = "part_size";

    // What S3 asks of every part but the last; and what a lane may hold twice.
    private const long LeastPartSize = 5 * 1024 * 1024;
    private const long MostPartSize = 512 * 1024 * 1024;

    public static DestinationKind Kind { get; } = new()
    {
        Name = "s3",
        Description = "Objects in a bucket of Amazon S3 or of a server that speaks its protocol.",
        Settings =
        [
            new(BucketSetting, SettingType.Text, "The bucket; it must be there.") { Required = true },
            new(PrefixSetting, SettingType.Text, "Folders in the bucket, separated by slashes. Default none."),
            new(RegionSetting, SettingType.Text, "The bucket's region. Default us-east-1."),
            new(EndpointSetting, SettingType.Text, "The URL of a server other than Amazon's, with http or https. Default Amazon's."),
            new(PathStyleSetting, SettingType.Boolean, "Whether the bucket stands in the path instead of the host name. Default true with an endpoint, else false."),
            new(AccessKeySetting, SettingType.Text, "The access key. Default what the machine's environment has.") { Secret = true },
            new(SecretKeySetting, SettingType.Text, "The secret of the access key. Default what the machine's environment has.") { Secret = true },
            new(PartSizeSetting, SettingType.Number, "Bytes of a part of an upload, held twice for each slice in work. Default 16777216; from 5242880 to 536870912."),
        ],
        Open = (destination, format) => new S3Destination(DestinationOptions.Read<S3Options>(destination).Validate(), format),
    };

    public required string Bucket { get; init; }

    public string Prefix { get; init; } = "";

    public string Region { get; init; } = "us-east-1";

    public string? Endpoint { get; init; }

    public bool? ForcePathStyle { get; init; }

    public string? AccessKey { get; init; }

    public string? SecretKey { get; init; }

    public long PartSize { get; init; } = 16 * 1024 * 1024;

    /// <summary>
    /// Whether the server is not Amazon's. Then every body is signed as one piece and no checksum trailer is added: Ceph and
    /// other servers refuse the SDK's newer ways.
    /// </summary>
    [JsonIgnore]
    public bool IsCompatible => Endpoint is not null;

    public S3Options Validate()
    {
        if (Bucket.Length is < 3 or > 63 || Bucket.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('-' or '.' or '_')))
        {
            throw new UserErrorException(
                BucketSetting, $"\"{Bucket}\" cannot be the name of a bucket.", "Use the bucket's name alone: 3 to 63 letters, digits, dashes and dots.");
        }

        if (Endpoint is not null && !(Uri.TryCreate(Endpoint, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
        {
            throw new UserErrorException(EndpointSetting, $"\"{Endpoint}\" is no URL.", "Begin it with http:// or https://.");
        }

        if (Region.Length == 0 || Region.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter != '-'))
        {
            throw new UserErrorException(RegionSetting, $"\"{Region}\" cannot be a region.", "Use a name such as eu-central-1.");
        }

        if (string.IsNullOrEmpty(AccessKey) != string.IsNullOrEmpty(SecretKey))
        {
            var missing = string.IsNullOrEmpty(AccessKey) ? AccessKeySetting : SecretKeySetting;
            throw new UserErrorException(missing, $"{missing} is missing.", "Give both keys, or neither to use what the machine's environment has.");
        }

        if (PartSize is < LeastPartSize or > MostPartSize)
        {
            throw new UserErrorException(
                PartSizeSetting,
                string.Create(CultureInfo.InvariantCulture, $"The value {PartSize} is out of range."),
                string.Create(CultureInfo.InvariantCulture, $"Use {LeastPartSize} to {MostPartSize} bytes."));
        }

        return this;
    }

    /// <summary>A client with these settings; it connects when it is first used.</summary>
    public AmazonS3Client CreateClient(HttpClientFactory? http)
    {
        var configuration = new AmazonS3Config
        {
            ForcePathStyle = ForcePathStyle ?? IsCompatible,
            RetryMode = RequestRetryMode.Standard,
            MaxErrorRetry = 3,
            ConnectTimeout = TimeSpan.FromSeconds(15),
            Timeout = TimeSpan.FromMinutes(5),
        };
        if (http is not null)
        {
            configuration.HttpClientFactory = http;
        }

        if (IsCompatible)
        {
            configuration.ServiceURL = Endpoint;
            configuration.AuthenticationRegion = Region;
            configuration.RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED;
            configuration.ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED;
        }
        else
        {
            configuration.RegionEndpoint = RegionEndpoint.GetBySystemName(Region);
        }

        return string.IsNullOrEmpty(AccessKey)
            ? new AmazonS3Client(configuration)
            : new AmazonS3Client(new BasicAWSCredentials(AccessKey, SecretKey), configuration);
    }
}
