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

    // Servers that lack what was asked for have no code of their own for it.
    private static ExportError Sort(AmazonS3Exception error, S3Options options) => error.ErrorCode switch
    {
        "InvalidArgument" or "InvalidRequest" or "NotImplemented" or "MethodNotAllowed" when (options.Encryption ?? options.StorageClass) is not null => User(
            options.StorageClass is null ? S3Options.EncryptionSetting : S3Options.StorageClassSetting,
            $"{Place(options)} does not store objects as {string.Join(", ", new[] { options.Encryption, options.StorageClass }.OfType<string>())}: {error.ErrorCode}.",
            "Use an encryption and a storage class that the server has, or leave them out."),

        // Of a body that was signed as one piece it says that other bytes arrived.
        "XAmzContentSHA256Mismatch" when !options.IsChunked => new(ErrorKind.Transient, $"What arrived at {Place(options)} was not what was sent: {error.Message}"),
        _ => SortByCode(error, options),
    };

    private static ExportError SortByCode(AmazonS3Exception error, S3Options options) => S3ErrorTable.Of(error.ErrorCode) is { } meaning
        ? new(
            meaning.Kind,
            meaning.Says
                .Replace("{bucket}", options.Bucket, StringComparison.Ordinal)
                .Replace("{region}", options.Region, StringComparison.Ordinal)
                .Replace("{place}", Place(options), StringComparison.Ordinal)
                .Replace("{message}", error.Message, StringComparison.Ordinal),
            meaning.Setting,
            meaning.Advice,
            meaning.Kind == ErrorKind.Throttled ? WaitOf(error) : null)
        : SortByStatus(error, options);

    private static ExportError SortByStatus(AmazonS3Exception error, S3Options options) => error.StatusCode switch
    {
        HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests => new(ErrorKind.Throttled, $"{Place(options)} asks for fewer requests.", RetryAfter: WaitOf(error)),
        HttpStatusCode.InsufficientStorage => User(
            S3Options.BucketSetting, $"There is no room in bucket {options.Bucket}: {error.Message}", "Free some space; then the run goes on from its last slice."),
        HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized => User(
            S3Options.AccessKeySetting,
            $"The access key may not do this in bucket {options.Bucket}: {error.Message}",
            "Let it list the bucket and its uploads, and write, read and delete objects there; or give another key."),
        HttpStatusCode.RequestTimeout or >= HttpStatusCode.InternalServerError => new(ErrorKind.Transient, error.Message),

        // No answer at all.
        0 => new(ErrorKind.Transient, error.Message),
        _ => new(ErrorKind.Bug, $"{Place(options)} refused a request with {error.ErrorCode}: {error.Message}"),
    };

    private static TimeSpan? WaitOf(AmazonS3Exception error) => error.InnerException is HttpErrorResponseException { Response: { } answer }
        ? RetryAfter.Of(answer.GetHeaderValue("Retry-After"), TimeProvider.System)
        : null;

    private static string Place(S3Options options) => options.Endpoint ?? "Amazon S3";

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);
}
