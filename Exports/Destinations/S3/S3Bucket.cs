using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.S3;

/// <summary>The requests that exports make of one bucket, with what servers and the SDK do differently smoothed out.</summary>
internal sealed class S3Bucket(S3Options options, HttpClientFactory? http) : IDisposable
{
    // Written into every object: says after a lost answer whose bytes lie under the key.
    private const string WriterMetadata = "exporter-writer";

    private readonly AmazonS3Client _client = options.CreateClient(http);

    /// <summary>Bytes of a part.</summary>
    public long PartSize => options.PartSize;

    /// <summary>Writes an object in one request.</summary>
    public Task PutAsync(string key, Stream content, Guid writer, string contentType, CancellationToken cancellationToken)
    {
        var request = new PutObjectRequest
        {
            BucketName = options.Bucket,
            Key = key,
            InputStream = content,
            AutoCloseStream = false,
            ContentType = contentType,
            UseChunkEncoding = !options.IsCompatible,
        };
        request.Metadata.Add(WriterMetadata, writer.ToString("N"));
        return _client.PutObjectAsync(request, cancellationToken);
    }

    /// <summary>Begins an upload in parts and answers its id.</summary>
    public async Task<string> BeginAsync(string key, Guid writer, CancellationToken cancellationToken)
    {
        var request = new InitiateMultipartUploadRequest { BucketName = options.Bucket, Key = key, ContentType = S3Destination.SliceContentType };
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
                UseChunkEncoding = !options.IsCompatible,
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
                new CompleteMultipartUploadRequest { BucketName = options.Bucket, Key = key, UploadId = upload, PartETags = parts },
                cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
        {
            if (!await IsFromAsync(key, writer, bytes, cancellationToken).ConfigureAwait(false))
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
            await _client.AbortMultipartUploadAsync(options.Bucket, key, upload, cancellationToken).ConfigureAwait(false);
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
        var request = new ListMultipartUploadsRequest { BucketName = options.Bucket, Prefix = prefix };
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
        var request = new ListObjectsV2Request { BucketName = options.Bucket, Prefix = prefix, MaxKeys = page };
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
        using var answer = await _client.GetObjectAsync(options.Bucket, key, cancellationToken).ConfigureAwait(false);
        using var content = new MemoryStream();
        await answer.ResponseStream.CopyToAsync(content, cancellationToken).ConfigureAwait(false);
        return content.ToArray();
    }

    /// <summary>Whether there is an object.</summary>
    public async Task<bool> ExistsAsync(string key, CancellationToken cancellationToken) =>
        await HeadAsync(key, cancellationToken).ConfigureAwait(false) is not null;

    /// <summary>Removes an object; nothing when it is not there.</summary>
    public Task DeleteAsync(string key, CancellationToken cancellationToken) => _client.DeleteObjectAsync(options.Bucket, key, cancellationToken);

    public void Dispose() => _client.Dispose();

    private async Task<bool> IsFromAsync(string key, Guid writer, long bytes, CancellationToken cancellationToken)
    {
        try
        {
            var found = await HeadAsync(key, cancellationToken).ConfigureAwait(false);
            return found is not null && found.ContentLength == bytes && found.Metadata[WriterMetadata] == writer.ToString("N");
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
            return await _client.GetObjectMetadataAsync(options.Bucket, key, cancellationToken).ConfigureAwait(false);
        }
        catch (AmazonS3Exception error) when (error.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }
}
