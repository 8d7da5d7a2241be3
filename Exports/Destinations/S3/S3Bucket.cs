using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.S3;

/// <summary>What lay under a key at some moment: what a conditional write may replace.</summary>
/// <param name="ETag">The server's tag of it; null when nothing lay there.</param>
internal sealed record ObjectState(string? ETag);

/// <summary>The requests that exports make of one bucket, with what servers and the SDK do differently smoothed out.</summary>
internal sealed class S3Bucket(S3Options options, HttpClientFactory? http) : IDisposable
{
    // Written into every object: says after a lost answer whose bytes lie under the key.
    private const string WriterMetadata = "exporter-writer";

    private const string Try = ".exporter-try-";
    private const string TryTime = "yyyyMMddHHmmss";
    private static readonly TimeSpan LongestTry = TimeSpan.FromMinutes(10);

    private readonly AmazonS3Client _client = S3Client.Create(options, http);
    private readonly SemaphoreSlim _trying = new(1);
    private bool? _conditional = options.ConditionalWrites;
    private bool _quotes = true;

    /// <summary>Bytes of a part.</summary>
    public long PartSize => options.PartSize;

    /// <summary>Parts of one upload that are sent at once.</summary>
    public int ParallelParts => options.ParallelParts;

    /// <summary>Writes an object in one request.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="content">Its bytes; may be read again.</param>
    /// <param name="writer">Says later whose bytes they are.</param>
    /// <param name="contentType">Its content type.</param>
    /// <param name="only">Only while this lies there; null: whatever lies there.</param>
    /// <param name="cancellationToken">Cancels the request.</param>
    public async Task PutAsync(string key, Stream content, Guid writer, string contentType, ObjectState? only, CancellationToken cancellationToken)
    {
        var request = new PutObjectRequest
        {
            BucketName = options.Bucket,
            Key = key,
            InputStream = content,
            AutoCloseStream = false,
            ContentType = contentType,
            UseChunkEncoding = options.IsChunked,
            IfMatch = _quotes ? only?.ETag : only?.ETag?.Trim('"'),
            IfNoneMatch = only is { ETag: null } ? "*" : null,
            ExpectedBucketOwner = options.ExpectedBucketOwner,
            StorageClass = StorageClass,
            ServerSideEncryptionMethod = Encryption,
            ServerSideEncryptionKeyManagementServiceKeyId = options.KmsKey,
        };
        request.Metadata.Add(WriterMetadata, writer.ToString("N"));
        var bytes = content.Length;
        try
        {
            await _client.PutObjectAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (only is not null && !cancellationToken.IsCancellationRequested)
        {
            // The first answer may be lost; then the repeat finds its own object in the way.
            if (!await IsKnownFromAsync(key, writer, bytes, cancellationToken).ConfigureAwait(false))
            {
                throw;
            }
        }
    }

    /// <summary>Whether what lies under a key was written by this writer, whole.</summary>
    public async Task<bool> IsFromAsync(string key, Guid writer, long bytes, CancellationToken cancellationToken) =>
        await HeadAsync(key, cancellationToken).ConfigureAwait(false) is { } found && found.ContentLength == bytes && found.Metadata[WriterMetadata] == writer.ToString("N");

    /// <summary>
    /// What lies under a key, for a write that replaces nothing else; null when the server does not honour conditions. That is tried
    /// once, unless a setting says it.
    /// </summary>
    public async Task<ObjectState?> StateAsync(string key, string start, CancellationToken cancellationToken) =>
        await IsConditionalAsync(start, cancellationToken).ConfigureAwait(false)
            ? new ObjectState((await HeadAsync(key, cancellationToken).ConfigureAwait(false))?.ETag)
            : null;

    /// <summary>Whether the server honours conditions on PUT; tried below <paramref name="start"/> by an object that is removed again.</summary>
    public async Task<bool> IsConditionalAsync(string start, CancellationToken cancellationToken)
    {
        await _trying.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_conditional is null)
            {
                await RemoveOldTriesAsync(start, cancellationToken).ConfigureAwait(false);
                _conditional = await TryConditionsAsync(
                    $"{start}{Try}{TimeProvider.System.GetUtcNow().ToString(TryTime, CultureInfo.InvariantCulture)}-{Guid.NewGuid():N}", cancellationToken).ConfigureAwait(false);
            }

            return _conditional.Value;
        }
        finally
        {
            _trying.Release();
        }
    }

    /// <summary>Begins an upload in parts and answers its id.</summary>
    public async Task<string> BeginAsync(string key, Guid writer, CancellationToken cancellationToken)
    {
        var request = new InitiateMultipartUploadRequest
        {
            BucketName = options.Bucket,
            Key = key,
            ContentType = S3Destination.SliceContentType,
            ExpectedBucketOwner = options.ExpectedBucketOwner,
            StorageClass = StorageClass,
            ServerSideEncryptionMethod = Encryption,
            ServerSideEncryptionKeyManagementServiceKeyId = options.KmsKey,
        };
        request.Metadata.Add(WriterMetadata, writer.ToString("N"));
        return (await _client.InitiateMultipartUploadAsync(request, cancellationToken).ConfigureAwait(false)).UploadId;
    }

    /// <summary>Sends a part; it may be sent again.</summary>
    public async Task<PartETag> SendPartAsync(string key, string upload, int number, ChunkedBytes bytes, CancellationToken cancellationToken)
    {
        var content = bytes.OpenRead();
        await using var closing = content.ConfigureAwait(false);
        var answer = await _client.UploadPartAsync(
            new UploadPartRequest
            {
                BucketName = options.Bucket,
                Key = key,
                UploadId = upload,
                PartNumber = number,
                PartSize = bytes.Length,
                InputStream = content,
                UseChunkEncoding = options.IsChunked,
                ExpectedBucketOwner = options.ExpectedBucketOwner,
            },
            cancellationToken).ConfigureAwait(false);
        return new PartETag(answer);
    }

    /// <summary>
    /// Makes an upload an object. A lost answer, and the error that a repeat may get, say nothing about what happened, so the
    /// object is looked at before an error counts.
    /// </summary>
    public async Task CompleteAsync(string key, string upload, List<PartETag> parts, Guid writer, long bytes, CancellationToken cancellationToken)
    {
        try
        {
            await _client.CompleteMultipartUploadAsync(
                new CompleteMultipartUploadRequest
                {
                    BucketName = options.Bucket, Key = key, UploadId = upload, PartETags = parts, ExpectedBucketOwner = options.ExpectedBucketOwner,
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
        {
            if (!await IsKnownFromAsync(key, writer, bytes, cancellationToken).ConfigureAwait(false))
            {
                throw;
            }
        }
    }

    /// <summary>Throws an upload away, and all of its parts; nothing when it is gone.</summary>
    public async Task AbortAsync(string key, string upload, CancellationToken cancellationToken)
    {
        try
        {
            await _client.AbortMultipartUploadAsync(
                new AbortMultipartUploadRequest
                {
                    BucketName = options.Bucket, Key = key, UploadId = upload, ExpectedBucketOwner = options.ExpectedBucketOwner,
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch (AmazonS3Exception error) when (error.StatusCode == HttpStatusCode.NotFound && error.ErrorCode != "NoSuchBucket")
        {
            // Completed or thrown away by another.
        }
    }

    /// <summary>The uploads under keys that begin so, complete ones not among them.</summary>
    public async IAsyncEnumerable<(string Key, string Upload)> UploadsAsync(
        string prefix, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var request = new ListMultipartUploadsRequest { BucketName = options.Bucket, Prefix = prefix, ExpectedBucketOwner = options.ExpectedBucketOwner };
        ListMultipartUploadsResponse page;
        do
        {
            page = await _client.ListMultipartUploadsAsync(request, cancellationToken).ConfigureAwait(false);
            foreach (var upload in page.MultipartUploads ?? [])
            {
                yield return (upload.Key, upload.UploadId);
            }

            request.KeyMarker = page.NextKeyMarker;
            request.UploadIdMarker = page.NextUploadIdMarker;
        }
        while (page.IsTruncated == true);
    }

    /// <summary>The objects under keys that begin so, with their bytes.</summary>
    public async IAsyncEnumerable<(string Key, long Bytes)> ObjectsAsync(
        string prefix, [EnumeratorCancellation] CancellationToken cancellationToken, int page = 1000)
    {
        var request = new ListObjectsV2Request
        {
            BucketName = options.Bucket, Prefix = prefix, MaxKeys = page, ExpectedBucketOwner = options.ExpectedBucketOwner,
        };
        ListObjectsV2Response answer;
        do
        {
            answer = await _client.ListObjectsV2Async(request, cancellationToken).ConfigureAwait(false);
            foreach (var found in answer.S3Objects ?? [])
            {
                yield return (found.Key, found.Size ?? 0);
            }

            request.ContinuationToken = answer.NextContinuationToken;
        }
        while (answer.IsTruncated == true);
    }

    /// <summary>An object's bytes.</summary>
    public async Task<byte[]> ReadAsync(string key, CancellationToken cancellationToken)
    {
        using var answer = await _client.GetObjectAsync(
            new GetObjectRequest { BucketName = options.Bucket, Key = key, ExpectedBucketOwner = options.ExpectedBucketOwner }, cancellationToken).ConfigureAwait(false);
        using var content = new MemoryStream();
        await answer.ResponseStream.CopyToAsync(content, cancellationToken).ConfigureAwait(false);
        return content.ToArray();
    }

    /// <summary>The server's tag of an object; null when there is none.</summary>
    public async Task<string?> TagAsync(string key, CancellationToken cancellationToken) =>
        (await HeadAsync(key, cancellationToken).ConfigureAwait(false))?.ETag;

    /// <summary>Removes an object; nothing when it is not there.</summary>
    public Task DeleteAsync(string key, CancellationToken cancellationToken) => _client.DeleteObjectAsync(
        new DeleteObjectRequest { BucketName = options.Bucket, Key = key, ExpectedBucketOwner = options.ExpectedBucketOwner }, cancellationToken);

    public void Dispose()
    {
        _client.Dispose();
        _trying.Dispose();
    }

    private S3StorageClass? StorageClass => options.StorageClass is { } name ? S3StorageClass.FindValue(name) : null;

    private ServerSideEncryptionMethod? Encryption => options.Encryption switch
    {
        "sse_s3" => ServerSideEncryptionMethod.AES256,
        "sse_kms" => ServerSideEncryptionMethod.AWSKMS,
        _ => null,
    };

    // A server that knows conditions refuses both: there is something already, and it is not what was named; and takes the right one. Some
    // know the tags only without the quotes that HTTP asks for.
    // Those of processes that were killed while they tried.
    private async Task RemoveOldTriesAsync(string start, CancellationToken cancellationToken)
    {
        var old = (TimeProvider.System.GetUtcNow() - LongestTry).ToString(TryTime, CultureInfo.InvariantCulture);
        await foreach (var (key, _) in ObjectsAsync(start + Try, cancellationToken).ConfigureAwait(false))
        {
            if (string.CompareOrdinal(key, start.Length + Try.Length, old, 0, old.Length) < 0)
            {
                await DeleteAsync(key, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task<bool> TryConditionsAsync(string key, CancellationToken cancellationToken)
    {
        try
        {
            await PutTryAsync(null).ConfigureAwait(false);
            if (!await IsRefusedAsync(new ObjectState(null)).ConfigureAwait(false)
                || !await IsRefusedAsync(new ObjectState("\"00000000000000000000000000000000\"")).ConfigureAwait(false))
            {
                return false;
            }

            var there = new ObjectState(await TagAsync(key, cancellationToken).ConfigureAwait(false));
            _quotes = !await IsRefusedAsync(there).ConfigureAwait(false);
            return _quotes || !await IsRefusedAsync(there).ConfigureAwait(false);
        }
        finally
        {
            await DeleteAsync(key, CancellationToken.None).ConfigureAwait(false);
        }

        async Task PutTryAsync(ObjectState? only)
        {
            using var content = new MemoryStream("exporter"u8.ToArray());
            await PutAsync(key, content, Guid.NewGuid(), S3Destination.SliceContentType, only, cancellationToken).ConfigureAwait(false);
        }

        async Task<bool> IsRefusedAsync(ObjectState only)
        {
            try
            {
                await PutTryAsync(only).ConfigureAwait(false);
                return false;
            }
            catch (AmazonS3Exception error) when (error.StatusCode is HttpStatusCode.PreconditionFailed or HttpStatusCode.NotImplemented or HttpStatusCode.BadRequest)
            {
                return error.StatusCode == HttpStatusCode.PreconditionFailed;
            }
        }
    }

    private async Task<bool> IsKnownFromAsync(string key, Guid writer, long bytes, CancellationToken cancellationToken)
    {
        try
        {
            return await IsFromAsync(key, writer, bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
        {
            // Not known; the error of the completion says more than this one.
            return false;
        }
    }

    private async Task<GetObjectMetadataResponse?> HeadAsync(string key, CancellationToken cancellationToken)
    {
        try
        {
            return await _client.GetObjectMetadataAsync(
                new GetObjectMetadataRequest { BucketName = options.Bucket, Key = key, ExpectedBucketOwner = options.ExpectedBucketOwner }, cancellationToken).ConfigureAwait(false);
        }
        catch (AmazonS3Exception error) when (error.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }
}
