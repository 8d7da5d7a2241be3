namespace Exporter.Exports.Destinations.S3;

/// <summary>What a code means for who has to act.</summary>
/// <param name="Kind">Who.</param>
/// <param name="Says">What happened, around {bucket}, {region}, {place} and {message}.</param>
/// <param name="Setting">For the user: the setting.</param>
/// <param name="Advice">For the user: what to do.</param>
internal sealed record S3ErrorMeaning(ErrorKind Kind, string Says, string? Setting = null, string? Advice = null);

/// <summary>
/// The codes of Amazon's list of error responses that exports can meet, and those that other servers have for what Amazon's does not know: a
/// quota, a full disk. A code that is not here is sorted by the answer's status.
/// </summary>
internal static class S3ErrorTable
{
    private static readonly Dictionary<string, S3ErrorMeaning> Meanings = new(StringComparer.Ordinal);

    static S3ErrorTable()
    {
        Add(
            new(ErrorKind.User, "There is no bucket {bucket} at {place}.", S3Options.BucketSetting, "Create it, or correct the name or the region."),
            "NoSuchBucket", "InvalidBucketName");
        Add(
            new(ErrorKind.User, "{place} does not know this access key.", S3Options.AccessKeySetting, "Give a key that exists and is active."),
            "InvalidAccessKeyId", "InvalidSecurity", "NotSignedUp");
        Add(
            new(ErrorKind.User, "{place} says that the secret does not belong to the access key.", S3Options.SecretKeySetting, "Give the secret of this access key."),
            "SignatureDoesNotMatch");
        Add(
            new(ErrorKind.User, "The session of these keys has ended: {message}", S3Options.AccessKeySetting, "Give keys that do not end, or role_arn, whose keys are renewed."),
            "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired");
        Add(
            new(ErrorKind.User, "The bucket {bucket} is not in {region}: {message}", S3Options.RegionSetting, "Give the bucket's region."),
            "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "EndpointNotFound");
        Add(
            new(ErrorKind.User, "The account may not be used: {message}", S3Options.AccessKeySetting, "Ask whoever owns it, or give keys of another."),
            "AccountProblem", "AllAccessDisabled", "InvalidPayer");
        Add(
            new(ErrorKind.User, "There is no room in bucket {bucket}: {message}", S3Options.BucketSetting, "Raise the quota or free some space; then the run goes on from its last slice."),
            "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "InsufficientCapacity");
        Add(
            new(ErrorKind.User, "The key to encrypt with cannot be used: {message}", S3Options.KmsKeySetting, "Give a key that is enabled, in the bucket's region, and that the access key may use."),
            "KMS.DisabledException", "KMS.NotFoundException", "KMS.InvalidKeyUsageException", "KMS.KMSInvalidStateException");
        Add(
            new(ErrorKind.User, "{place} does not know this encryption: {message}", S3Options.EncryptionSetting, "Use one that the server has, or leave it out."),
            "InvalidEncryptionAlgorithmError");
        Add(
            new(ErrorKind.User, "{place} does not know this storage class: {message}", S3Options.StorageClassSetting, "Use one that the server has, or leave it out."),
            "InvalidStorageClass");
        Add(
            new(ErrorKind.User, "{place} does not understand bodies that are sent this way: {message}", S3Options.ChunkedSetting, "Set chunked to false."),
            "XAmzContentSHA256Mismatch");
        Add(
            new(ErrorKind.User, "{place} does not know what it was asked: {message}", S3Options.EndpointSetting, "Set chunked and conditional_writes to false, and leave encryption and storage_class out; or use a server that has them."),
            "NotImplemented");
        Add(
            new(ErrorKind.User, "{place} takes no objects there: {message}", S3Options.EndpointSetting, "Give the address of the server's S3 interface."),
            "MethodNotAllowed");
        Add(
            new(ErrorKind.User, "A part has a size that {place} does not take: {message}", S3Options.PartSizeSetting, "Use larger parts, or those that the server allows."),
            "EntityTooSmall", "EntityTooLarge");
        Add(
            new(ErrorKind.User, "The key of an object becomes too long.", S3Options.PrefixSetting, "Use a shorter prefix or name of the export."),
            "KeyTooLongError", "KeyTooLong");
        Add(
            new(ErrorKind.Throttled, "{place} asks for fewer requests."),
            "SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException", "BandwidthLimitExceeded", "Busy");
        Add(
            new(ErrorKind.Transient, "This machine's clock differs from the server's by more than S3 allows."),
            "RequestTimeTooSkewed");
        Add(
            new(ErrorKind.Transient, "Another attempt has written this object meanwhile."),
            "PreconditionFailed", "ConditionalRequestConflict");
        Add(
            new(ErrorKind.Transient, "The upload is gone: another attempt has opened this slice."),
            "NoSuchUpload", "InvalidPart");
        Add(
            new(ErrorKind.Transient, "What arrived at {place} was not what was sent: {message}"),
            "BadDigest", "IncompleteBody", "InvalidDigest");
        Add(
            new(ErrorKind.Transient, "{message}"),
            "InternalError", "RequestTimeout", "OperationAborted", "TemporaryRedirect");
    }

    /// <summary>Every code.</summary>
    public static IEnumerable<string> Codes => Meanings.Keys;

    /// <summary>A code's meaning; null when it has none here.</summary>
    public static S3ErrorMeaning? Of(string? code) => code is null ? null : Meanings.GetValueOrDefault(code);

    private static void Add(S3ErrorMeaning meaning, params ReadOnlySpan<string> codes)
    {
        foreach (var code in codes)
        {
            Meanings.Add(code, meaning);
        }
    }
}
