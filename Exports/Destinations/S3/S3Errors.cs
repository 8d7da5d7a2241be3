using System.Net;
using System.Net.Sockets;
using Amazon.Runtime;
using Amazon.Runtime.Internal;
using Amazon.S3;
using Amazon.SecurityToken;

namespace Exporter.Exports.Destinations.S3;

/// <summary>Errors of S3, of servers that speak its protocol, and of the way there, sorted by who has to act.</summary>
internal static class S3Errors
{
    public static ExportError? Sort(Exception error, S3Options options) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        AmazonS3Exception s3 => Sort(s3, options),
        AmazonSecurityTokenServiceException { StatusCode: HttpStatusCode.Forbidden or HttpStatusCode.BadRequest } sts => User(
            S3Options.RoleSetting, $"The role cannot be assumed: {sts.Message}", "Let these keys assume it, with this external id, or correct role_arn."),
        AmazonServiceException service => new(ErrorKind.Transient, service.Message),

        // The SDK's search for keys in the environment ends so.
        AmazonClientException { InnerException: not HttpRequestException and not IOException } client when options.AccessKey is null => User(
            S3Options.AccessKeySetting, $"No access key was found: {client.Message}", "Give access_key and secret_key, or give the machine a role."),
        AmazonClientException client => new(ErrorKind.Transient, client.Message),
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } http => User(
            S3Options.EndpointSetting, $"No secure connection to {Place(options)}: {http.Message}", "Give an endpoint whose certificate this machine trusts."),
        HttpRequestException or IOException or SocketException => new(ErrorKind.Transient, $"{Place(options)} cannot be reached: {error.Message}"),
        TimeoutException or OperationCanceledException { InnerException: TimeoutException } =>
            new(ErrorKind.Transient, $"{Place(options)} did not answer in time."),
        _ => null,
    };

    private static ExportError Sort(AmazonS3Exception error, S3Options options) => (error.ErrorCode, error.StatusCode) switch
    {
        ("NoSuchBucket" or "InvalidBucketName", _) => User(
            S3Options.BucketSetting, $"There is no bucket {options.Bucket} at {Place(options)}.", "Create it, or correct the name or the region."),
        ("InvalidAccessKeyId", _) => User(
            S3Options.AccessKeySetting, $"{Place(options)} does not know this access key.", "Give a key that exists and is active."),
        ("SignatureDoesNotMatch", _) => User(
            S3Options.SecretKeySetting, $"{Place(options)} says that the secret does not belong to the access key.", "Give the secret of this access key."),
        ("PermanentRedirect" or "AuthorizationHeaderMalformed" or "IllegalLocationConstraintException", _) => User(
            S3Options.RegionSetting, $"The bucket {options.Bucket} is not in {options.Region}: {error.Message}", "Give the bucket's region."),
        ("RequestTimeTooSkewed", _) => new(ErrorKind.Transient, "This machine's clock differs from the server's by more than S3 allows."),
        ("SlowDown" or "TooManyRequests" or "RequestLimitExceeded" or "Throttling" or "ServiceUnavailable", _)
            or (_, HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests) => new(
                ErrorKind.Throttled, $"{Place(options)} asks for fewer requests.", RetryAfter: WaitOf(error)),
        ("PreconditionFailed" or "ConditionalRequestConflict", _) => new(ErrorKind.Transient, "Another attempt has written this object meanwhile."),
        ("NoSuchUpload", _) => new(ErrorKind.Transient, "The upload is gone: another attempt has opened this slice."),
        (_, HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized) => User(
            S3Options.AccessKeySetting,
            $"The access key may not do this in bucket {options.Bucket}: {error.Message}",
            "Let it list the bucket and its uploads, and write, read and delete objects there; or give another key."),
        (_, HttpStatusCode.RequestTimeout) or ("RequestTimeout" or "InternalError" or "OperationAborted", _) => new(ErrorKind.Transient, error.Message),
        (_, >= HttpStatusCode.InternalServerError) => new(ErrorKind.Transient, error.Message),

        // No answer at all.
        (_, 0) => new(ErrorKind.Transient, error.Message),
        _ => new(ErrorKind.Bug, $"{Place(options)} refused a request with {error.ErrorCode}: {error.Message}"),
    };

    private static TimeSpan? WaitOf(AmazonS3Exception error) => error.InnerException is HttpErrorResponseException { Response: { } answer }
        ? RetryAfter.Of(answer.GetHeaderValue("Retry-After"), TimeProvider.System)
        : null;

    private static string Place(S3Options options) => options.Endpoint ?? "Amazon S3";

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);
}
