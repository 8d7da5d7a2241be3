using System.Net;
using System.Net.Sockets;
using Azure;
using Azure.Identity;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>
/// Errors of Azure Blob Storage and of the way there, sorted by who has to act; by "Azure Blob Storage error codes" and "Common REST API
/// error codes". docs/destinations/azure-blob.md has them as a table.
/// </summary>
internal static class AzureBlobErrors
{
    public static ExportError? Sort(Exception error, AzureBlobOptions options) => error switch
    {
        UserErrorException user => new(ErrorKind.User, user.Problem, user.Setting, user.Advice),
        BlobTakenException => new(ErrorKind.Transient, error.Message),
        RequestFailedException { Status: 0, InnerException: HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } http } => User(
            AzureBlobOptions.EndpointSetting, $"No secure connection to {options.Place}: {FirstLine(http)}", "Give an endpoint whose certificate this machine trusts."),
        RequestFailedException { Status: 0 } failed => new(ErrorKind.Transient, $"{options.Place} cannot be reached: {FirstLine(failed)}"),
        RequestFailedException failed => Sort(failed, options),

        // Before AuthenticationFailedException, of which it is one.
        CredentialUnavailableException => User(
            AzureBlobOptions.AccountKeySetting, $"No identity was found on this machine: {FirstLine(error)}", "Give account_key, sas_token or client_secret, or give the machine an identity."),
        AuthenticationFailedException { InnerException: RequestFailedException { Status: 0 or 429 or >= 500 } } => new(
            ErrorKind.Transient, $"Whoever gives out identities cannot be reached: {FirstLine(error)}"),
        AuthenticationFailedException => User(
            options.CredentialSetting == AzureBlobOptions.ClientSecretSetting ? AzureBlobOptions.ClientSecretSetting : AzureBlobOptions.ClientSetting,
            $"The identity was refused: {FirstLine(error)}",
            "Give tenant_id, client_id and client_secret of an application that exists, or an identity that this machine has."),

        // Each try's own error is in it.
        AggregateException { InnerExceptions: [.., var last] } => Sort(last, options) ?? new(ErrorKind.Transient, $"{options.Place} cannot be reached: {FirstLine(last)}"),
        HttpRequestException or IOException or SocketException => new(ErrorKind.Transient, $"{options.Place} cannot be reached: {FirstLine(error)}"),
        TimeoutException or TaskCanceledException or OperationCanceledException { InnerException: TimeoutException } =>
            new(ErrorKind.Transient, $"{options.Place} did not answer in time."),
        _ => null,
    };

    private static ExportError Sort(RequestFailedException error, AzureBlobOptions options) => (error.ErrorCode, (HttpStatusCode)error.Status) switch
    {
        ("ContainerNotFound" or "ContainerDisabled" or "ResourceNotFound", _) => User(
            AzureBlobOptions.ContainerSetting, $"There is no container {options.Container} at {options.Place}.", "Create it, or correct the name or the account."),
        ("AccountIsDisabled" or "InvalidResourceName", _) => User(
            AzureBlobOptions.AccountSetting, $"The account {options.Account} cannot be used: {error.ErrorCode}.", "Correct its name, or enable it."),
        ("AuthenticationFailed" or "InvalidAuthenticationInfo" or "NoAuthenticationInformation", _) => User(
            options.CredentialSetting,
            options.CredentialSetting == AzureBlobOptions.SasTokenSetting
                ? $"{options.Place} does not accept the signature, or it has expired."
                : $"{options.Place} does not accept what {options.CredentialSetting} says.",
            "Give one that is right and not expired."),
        ("ServerBusy" or "OperationTimedOut" or "TooManyRequests", _) or (_, HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable) =>
            new(ErrorKind.Throttled, $"{options.Place} asks for fewer requests.", RetryAfter: WaitOf(error)),
        ("ConditionNotMet" or "TargetConditionNotMet" or "BlobAlreadyExists" or "InvalidBlockList" or "BlobNotFound", _) => new(
            ErrorKind.Transient, "Another attempt has written this blob meanwhile."),
        ("BlobImmutableDueToPolicy" or "BlobImmutableDueToLegalHold" or "ContainerImmutabilityPolicyLocked" or "ContainerHasLegalHold"
            or "BlobArchived" or "BlobBeingRehydrated" or "SnapshotsPresent" or "InvalidBlobType" or "ResourceTypeMismatch" or "BlobOperationNotSupported"
            or "BlobUsesCustomerSpecifiedEncryption", _) => User(
            AzureBlobOptions.ContainerSetting,
            $"A blob in {options.Container} cannot be replaced: {error.ErrorCode}.",
            "Take the policy, lease, snapshots or archive tier off what lies there, or export to another prefix."),
        ("InvalidBlobTier" or "BlobAccessTierNotSupportedForAccountType" or "BlobTierInadequateForContentLength" or "ContentLengthLargerThanTierLimit", _) => User(
            AzureBlobOptions.AccessTierSetting, $"{options.Place} does not keep blobs as {options.AccessTier}: {error.ErrorCode}.", "Use a tier that the account has, or leave it out."),
        ("RequestBodyTooLarge", _) => User(
            AzureBlobOptions.BlockSizeSetting, $"A block has a size that {options.Place} does not take: {error.ErrorCode}.", "Use smaller blocks."),
        ("LeaseIdMissing" or "LeaseIdMismatchWithBlobOperation" or "LeaseAlreadyPresent", _) => User(
            AzureBlobOptions.ContainerSetting, $"Another program holds a lease on a blob in {options.Container}.", "Break the lease, or export to another prefix."),
        ("InvalidBlobOrBlock" or "BlockCountExceedsLimit", _) => User(
            AzureBlobOptions.ContainerSetting,
            $"Another program has left blocks of its own under the name of a slice in {options.Container}: {error.ErrorCode}.",
            "See that nothing else writes there, and wait a week until Azure has removed them, or export to another prefix."),
        (_, HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized) => User(
            options.CredentialSetting,
            $"This may not be done in container {options.Container}: {error.ErrorCode}.",
            "Allow to read, add, create, write, delete and list in the container."),
        ("ContainerBeingDeleted" or "AccountBeingCreated" or "SystemInUse" or "Md5Mismatch" or "PendingCopyOperation", _) => new(ErrorKind.Transient, $"{options.Place} answered {error.ErrorCode}."),
        (_, >= HttpStatusCode.InternalServerError or HttpStatusCode.RequestTimeout) => new(ErrorKind.Transient, $"{options.Place} answered {error.Status}."),
        _ => new(ErrorKind.Bug, $"{options.Place} refused a request with {error.Status} {error.ErrorCode}."),
    };

    private static TimeSpan? WaitOf(RequestFailedException error) =>
        error.GetRawResponse()?.Headers.TryGetValue("Retry-After", out var text) == true ? RetryAfter.Of(text, TimeProvider.System) : null;

    private static string FirstLine(Exception error) => error.Message.Split('\n', 2)[0].Trim();

    private static ExportError User(string setting, string message, string advice) => new(ErrorKind.User, message, setting, advice);
}

/// <summary>Another attempt has the slice: this one's blocks or its view of the blob are gone.</summary>
internal sealed class BlobTakenException(Exception? inner = null) : Exception("Another attempt has opened or written this slice.", inner);
