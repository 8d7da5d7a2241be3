using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Azure;
using Azure.Core.Pipeline;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Blobs.Specialized;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>The requests that exports make of one container.</summary>
internal sealed class AzureContainer(AzureBlobOptions options, HttpPipelineTransport? transport)
{
    public const string SliceContentType = "application/octet-stream";

    // Written into every blob: says after a lost answer whose bytes lie under the name.
    private const string WriterMetadata = "exporterwriter";

    // Behind the number of every block that is data.
    private const int ClaimNumber = 999_999;

    private static readonly byte[] Claim = "open"u8.ToArray();

    private readonly BlobContainerClient _client = options.CreateClient(transport);

    /// <summary>Bytes of a block.</summary>
    public long BlockSize => options.BlockSize;

    /// <summary>Blocks of one blob that are sent at once.</summary>
    public int ParallelBlocks => options.ParallelBlocks;

    /// <summary>The id of a block: those of one blob must be equally long, and those of one writer are its own.</summary>
    public static string BlockId(Guid writer, int number) =>
        Convert.ToBase64String(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{writer:N}{number:D6}")));

    /// <summary>The tag of what lies under a name, which is another one after every write; null when nothing does.</summary>
    public async Task<ETag?> TagAsync(string name, CancellationToken cancellationToken) =>
        (await PropertiesAsync(name, cancellationToken).ConfigureAwait(false))?.ETag;

    /// <summary>
    /// Leaves a sign that a writer is at work where nothing lies yet: a block that is never made part of the blob, and that goes with
    /// whatever makes an end of the writer's work: another's commit, or <see cref="DropBlocksAsync"/>.
    /// </summary>
    public async Task ClaimAsync(string name, Guid writer, CancellationToken cancellationToken)
    {
        using var content = new MemoryStream(Claim, writable: false);
        await StageAsync(name, BlockId(writer, ClaimNumber), content, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Looks whether the sign is still there.</summary>
    /// <exception cref="BlobTakenException">It is not.</exception>
    public async Task CheckClaimAsync(string name, Guid writer, CancellationToken cancellationToken)
    {
        try
        {
            var list = await _client.GetBlockBlobClient(name).GetBlockListAsync(BlockListTypes.Uncommitted, cancellationToken: cancellationToken).ConfigureAwait(false);
            if (list.Value.UncommittedBlocks?.Any(block => block.Name == BlockId(writer, ClaimNumber)) != true)
            {
                throw new BlobTakenException();
            }
        }
        catch (RequestFailedException error) when (error is { Status: 404, ErrorCode: "BlobNotFound" })
        {
            throw new BlobTakenException(error);
        }
    }

    /// <summary>Sends a block, which nobody sees; it may be sent again.</summary>
    public async Task StageAsync(string name, string block, ChunkedBytes bytes, CancellationToken cancellationToken)
    {
        var content = bytes.OpenRead();
        await using var closing = content.ConfigureAwait(false);
        await StageAsync(name, block, content, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Makes blocks a blob, if what lies under the name is still what it was. A lost answer, and the error that a repeat may get, say
    /// nothing about what happened, so the blob is looked at before an error counts.
    /// </summary>
    /// <exception cref="BlobTakenException">It is not, or another's commit has thrown the blocks away.</exception>
    public Task CommitAsync(string name, IReadOnlyList<string> blocks, ETag? before, Guid writer, long bytes, CancellationToken cancellationToken) => WrittenAsync(
        name,
        writer,
        bytes,
        () => _client.GetBlockBlobClient(name).CommitBlockListAsync(
            blocks,
            new CommitBlockListOptions
            {
                Conditions = Unchanged(before), HttpHeaders = Headers(SliceContentType), Metadata = Metadata(writer),
                AccessTier = options.AccessTier is { } tier ? new AccessTier(tier) : default(AccessTier?),
            },
            cancellationToken),
        cancellationToken);

    /// <summary>Writes a blob in one request, if what lies under the name is still what it was.</summary>
    /// <exception cref="BlobTakenException">It is not.</exception>
    public Task PutAsync(string name, byte[] content, string contentType, ETag? before, Guid writer, CancellationToken cancellationToken) => WrittenAsync(
        name,
        writer,
        content.Length,
        () => _client.GetBlobClient(name).UploadAsync(
            BinaryData.FromBytes(content),
            new BlobUploadOptions { Conditions = Unchanged(before), HttpHeaders = Headers(contentType), Metadata = Metadata(writer) },
            cancellationToken),
        cancellationToken);

    /// <summary>Whether what lies under a name was written by this writer, whole.</summary>
    public async Task<bool> IsFromAsync(string name, Guid writer, long bytes, CancellationToken cancellationToken) =>
        await PropertiesAsync(name, cancellationToken).ConfigureAwait(false) is { } found && found.ContentLength == bytes
        && found.Metadata.TryGetValue(WriterMetadata, out var by) && by == writer.ToString("N");

    /// <summary>The blobs under names that begin so, with their bytes.</summary>
    public async IAsyncEnumerable<(string Name, long Bytes)> BlobsAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var found in _client.GetBlobsAsync(new GetBlobsOptions { Prefix = prefix }, cancellationToken).ConfigureAwait(false))
        {
            yield return (found.Name, found.Properties.ContentLength ?? 0);
        }
    }

    /// <summary>Names that begin so, under which there are blocks or blobs.</summary>
    public async IAsyncEnumerable<string> BegunAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var found in _client.GetBlobsAsync(new GetBlobsOptions { Prefix = prefix, States = BlobStates.Uncommitted }, cancellationToken).ConfigureAwait(false))
        {
            yield return found.Name;
        }
    }

    /// <summary>
    /// Throws away blocks under a name where no blob is, and with them the sign of every writer. Azure has no other way than to make an
    /// empty blob of none of them, and to delete it.
    /// </summary>
    public async Task DropBlocksAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            var made = await _client.GetBlockBlobClient(name).CommitBlockListAsync([], new CommitBlockListOptions { Conditions = Unchanged(null) }, cancellationToken).ConfigureAwait(false);
            await _client.GetBlobClient(name).DeleteIfExistsAsync(
                conditions: new BlobRequestConditions { IfMatch = made.Value.ETag }, cancellationToken: cancellationToken).ConfigureAwait(false);
        }
        catch (RequestFailedException error) when (error.Status is 409 or 412)
        {
            // Somebody has made a blob of them meanwhile.
        }
    }

    /// <summary>A blob's bytes.</summary>
    public async Task<byte[]> ReadAsync(string name, CancellationToken cancellationToken) =>
        (await _client.GetBlobClient(name).DownloadContentAsync(cancellationToken).ConfigureAwait(false)).Value.Content.ToArray();

    /// <summary>Removes a blob; nothing when it is not there.</summary>
    public Task DeleteAsync(string name, CancellationToken cancellationToken) =>
        _client.GetBlobClient(name).DeleteIfExistsAsync(cancellationToken: cancellationToken);

    /// <summary>Removes a blob if it is still what it was; nothing when it is not there.</summary>
    /// <exception cref="BlobTakenException">It is not.</exception>
    public async Task DeleteAsync(string name, ETag before, CancellationToken cancellationToken)
    {
        try
        {
            await _client.GetBlobClient(name).DeleteIfExistsAsync(conditions: Unchanged(before), cancellationToken: cancellationToken).ConfigureAwait(false);
        }
        catch (RequestFailedException error) when (error.Status == 412)
        {
            throw new BlobTakenException(error);
        }
    }

    private static BlobRequestConditions Unchanged(ETag? before) =>
        before is { } tag ? new BlobRequestConditions { IfMatch = tag } : new BlobRequestConditions { IfNoneMatch = ETag.All };

    private static BlobHttpHeaders Headers(string contentType) => new() { ContentType = contentType };

    private static Dictionary<string, string> Metadata(Guid writer) => new() { [WriterMetadata] = writer.ToString("N") };

    private Task StageAsync(string name, string block, Stream content, CancellationToken cancellationToken) =>
        _client.GetBlockBlobClient(name).StageBlockAsync(block, content, new BlockBlobStageBlockOptions(), cancellationToken);

    private async Task WrittenAsync(string name, Guid writer, long bytes, Func<Task> write, CancellationToken cancellationToken)
    {
        try
        {
            await write().ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            if (!await IsKnownFromAsync(name, writer, bytes, cancellationToken).ConfigureAwait(false))
            {
                if (error is RequestFailedException { ErrorCode: "ConditionNotMet" or "BlobAlreadyExists" or "InvalidBlockList" or "BlobNotFound" })
                {
                    throw new BlobTakenException(error);
                }

                throw;
            }
        }
    }

    private async Task<bool> IsKnownFromAsync(string name, Guid writer, long bytes, CancellationToken cancellationToken)
    {
        try
        {
            return await IsFromAsync(name, writer, bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
        {
            // Not known; the error of the write says more than this one.
            return false;
        }
    }

    // An answer to HEAD has no body: Azure says the code in a header, and not every server does.
    private async Task<BlobProperties?> PropertiesAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            return await _client.GetBlobClient(name).GetPropertiesAsync(cancellationToken: cancellationToken).ConfigureAwait(false);
        }
        catch (RequestFailedException error) when (error is { Status: 404, ErrorCode: "BlobNotFound" or null })
        {
            return null;
        }
    }
}
