using System.Globalization;
using System.Text.Json.Serialization;
using Exporter.Exports.Model;

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
    public const string ParallelPartsSetting = "parallel_parts";
    public const string EncryptionSetting = "encryption";
    public const string KmsKeySetting = "kms_key";
    public const string StorageClassSetting = "storage_class";
    public const string OwnerSetting = "expected_bucket_owner";
    public const string RoleSetting = "role_arn";
    public const string ExternalIdSetting = "external_id";
    public const string StsEndpointSetting = "sts_endpoint";
    public const string ChunkedSetting = "chunked";
    public const string ConditionalSetting = "conditional_writes";
    public const string TimeoutSetting = "timeout_seconds";

    // What S3 asks of every part but the last; and what a lane may hold twice.
    private const long LeastPartSize = 5 * 1024 * 1024;
    private const long MostPartSize = 512 * 1024 * 1024;

    public static DestinationKind Kind { get; } = new()
    {
        Name = "s3",
        Description = "Objects in a bucket of Amazon S3 or of a server that speaks its protocol.",
        Settings =
        [
            new(BucketSetting, SettingType.Text, "The bucket; it must be there.") { Required = true, Place = true },
            new(PrefixSetting, SettingType.Text, $"Folders in the bucket, separated by slashes, with places such as {{year}}: {SliceKeys.Places}. Default none.") { Place = true },
            new(RegionSetting, SettingType.Text, "The bucket's region. Default us-east-1.") { Asked = true },
            new(EndpointSetting, SettingType.Text, "The URL of a server other than Amazon's, with http or https. Default Amazon's.") { Asked = true, Place = true },
            new(PathStyleSetting, SettingType.Boolean, "Whether the bucket stands in the path instead of the host name. Default true with an endpoint, else false."),
            new(AccessKeySetting, SettingType.Text, "The access key. Default what the machine's environment has.") { Secret = true, Asked = true },
            new(SecretKeySetting, SettingType.Text, "The secret of the access key. Default what the machine's environment has.") { Secret = true, Asked = true },
            new(PartSizeSetting, SettingType.Number, "Bytes of a part of an upload. Default 16777216; from 5242880 to 536870912."),
            new(ParallelPartsSetting, SettingType.Number, "Parts of a slice that are sent at once; each slice in work holds one part more. Default 1; from 1 to 16."),
            new(EncryptionSetting, SettingType.Text, "How the server encrypts what it stores: sse_s3 or sse_kms. Default what the bucket says."),
            new(KmsKeySetting, SettingType.Text, "With sse_kms, the key's id or ARN. Default the account's own key for S3."),
            new(StorageClassSetting, SettingType.Text, "The storage class, such as STANDARD_IA. Default the bucket's."),
            new(OwnerSetting, SettingType.Text, "The account that must own the bucket, 12 digits; else every request is refused. Default any."),
            new(RoleSetting, SettingType.Text, "A role to assume with the keys at hand, as an ARN. Default none."),
            new(ExternalIdSetting, SettingType.Text, "The external id that the role asks for. Default none."),
            new(StsEndpointSetting, SettingType.Text, "The URL that roles are assumed at. Default Amazon's in the region."),
            new(ChunkedSetting, SettingType.Boolean, "Whether bodies are sent in chunks with a checksum behind, which older servers refuse. Default false with an endpoint, else true."),
            new(ConditionalSetting, SettingType.Boolean, "Whether the server honours If-Match and If-None-Match on PUT. Default what a try at the run's start says."),
            new(TimeoutSetting, SettingType.Number, "Seconds until an answer must be there. Default 300; from 1 to 3600."),
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

    public int ParallelParts { get; init; } = 1;

    public string? Encryption { get; init; }

    public string? KmsKey { get; init; }

    public string? StorageClass { get; init; }

    public string? ExpectedBucketOwner { get; init; }

    public string? RoleArn { get; init; }

    public string? ExternalId { get; init; }

    public string? StsEndpoint { get; init; }

    public bool? Chunked { get; init; }

    public bool? ConditionalWrites { get; init; }

    public int TimeoutSeconds { get; init; } = 300;

    /// <summary>Whether the server is not Amazon's.</summary>
    [JsonIgnore]
    public bool IsCompatible => Endpoint is not null;

    /// <summary>
    /// Whether bodies go in chunks with a checksum behind. Otherwise every body is signed as one piece and no checksum is added: Ceph 16
    /// and other servers refuse the SDK's newer ways.
    /// </summary>
    [JsonIgnore]
    public bool IsChunked => Chunked ?? !IsCompatible;

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

        CheckStorage();
        CheckRole();
        ModelCheck.Range(ParallelPartsSetting, ParallelParts, 1, 16);
        ModelCheck.Range(TimeoutSetting, TimeoutSeconds, 1, 3_600);
        return this;
    }

    private void CheckStorage()
    {
        if (Encryption == "sse_c")
        {
            throw new UserErrorException(
                EncryptionSetting,
                "Encryption with a key of your own in every request (SSE-C) is not offered: whoever reads would need that key, and losing it loses the data.",
                "Use sse_kms with a key of yours in kms_key.");
        }

        if (Encryption is not (null or "sse_s3" or "sse_kms"))
        {
            throw new UserErrorException(EncryptionSetting, $"There is no encryption \"{Encryption}\".", "Use sse_s3 or sse_kms, or leave it out.");
        }

        if (KmsKey is not null && Encryption != "sse_kms")
        {
            throw new UserErrorException(KmsKeySetting, "A kms_key is given, but encryption is not sse_kms.", "Set encryption to sse_kms, or leave kms_key out.");
        }

        if (StorageClass is not null && (StorageClass.Length == 0 || StorageClass.Any(letter => !char.IsAsciiLetterUpper(letter) && !char.IsAsciiDigit(letter) && letter != '_')))
        {
            throw new UserErrorException(StorageClassSetting, $"\"{StorageClass}\" cannot be a storage class.", "Use a name such as STANDARD_IA.");
        }

        if (StorageClass is "GLACIER" or "DEEP_ARCHIVE")
        {
            throw new UserErrorException(
                StorageClassSetting, $"What is stored as {StorageClass} cannot be read back.", "Use GLACIER_IR, or move objects there later by a rule of the bucket.");
        }
    }

    private void CheckRole()
    {
        if (ExpectedBucketOwner is not null && (ExpectedBucketOwner.Length != 12 || !ExpectedBucketOwner.All(char.IsAsciiDigit)))
        {
            throw new UserErrorException(OwnerSetting, $"\"{ExpectedBucketOwner}\" is no account.", "Give the 12 digits of the account that owns the bucket.");
        }

        if (RoleArn is not null && !(RoleArn.StartsWith("arn:", StringComparison.Ordinal) && RoleArn.Contains(":role/", StringComparison.Ordinal)))
        {
            throw new UserErrorException(RoleSetting, $"\"{RoleArn}\" is no role.", "Give its ARN, such as arn:aws:iam::123456789012:role/exports.");
        }

        if (RoleArn is null && (ExternalId ?? StsEndpoint) is not null)
        {
            throw new UserErrorException(RoleSetting, "role_arn is missing.", $"Give the role, or leave {ExternalIdSetting} and {StsEndpointSetting} out.");
        }

        if (StsEndpoint is not null && !(Uri.TryCreate(StsEndpoint, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
        {
            throw new UserErrorException(StsEndpointSetting, $"\"{StsEndpoint}\" is no URL.", "Begin it with http:// or https://.");
        }
    }
}
