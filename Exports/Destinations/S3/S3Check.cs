namespace Exporter.Exports.Destinations.S3;

/// <summary>Does in small, step by step, what an export does to a bucket, and takes it back.</summary>
internal sealed class S3Check(S3Destination destination, S3Bucket bucket, string bucketName, string start)
{
    private static readonly byte[] Content = "exporter"u8.ToArray();

    private readonly Guid _id = Guid.NewGuid();
    private string? _upload;

    private string Key => $"{start}.exporter-check-{_id:N}";

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [
            ("connect", ConnectAsync),
            ("permissions", MayUploadAsync),
            ("write", WriteAsync),
            ("read back", ReadAsync),
            ("clean up", CleanUpAsync),
        ],
        () => RemoveAsync(CancellationToken.None),
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        await foreach (var _ in bucket.ObjectsAsync(start, cancellationToken, page: 1).ConfigureAwait(false))
        {
            break;
        }

        return $"The bucket {bucketName} is there and can be listed.";
    }

    private async Task<string> MayUploadAsync(CancellationToken cancellationToken)
    {
        _upload = await bucket.BeginAsync(Key, _id, cancellationToken).ConfigureAwait(false);
        await foreach (var _ in bucket.UploadsAsync(Key, cancellationToken).ConfigureAwait(false))
        {
            break;
        }

        await bucket.AbortAsync(Key, _upload, cancellationToken).ConfigureAwait(false);
        _upload = null;
        return "Uploads in parts may be begun, listed and thrown away.";
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        using var content = new MemoryStream(Content);
        await bucket.PutAsync(Key, content, _id, S3Destination.SliceContentType, null, cancellationToken).ConfigureAwait(false);
        return await bucket.IsConditionalAsync(start, cancellationToken).ConfigureAwait(false)
            ? $"{Key} was written; conditional writes are honoured."
            : $"{Key} was written; conditional writes are not honoured, so slices smaller than a part are not fenced.";
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        var read = await bucket.ReadAsync(Key, cancellationToken).ConfigureAwait(false);
        return read.AsSpan().SequenceEqual(Content) ? "It was read back." : throw new IOException($"{Key} holds other bytes than were written.");
    }

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        await RemoveAsync(cancellationToken).ConfigureAwait(false);
        return "It was removed; nothing is left.";
    }

    private async Task RemoveAsync(CancellationToken cancellationToken)
    {
        if (_upload is not null)
        {
            await bucket.AbortAsync(Key, _upload, cancellationToken).ConfigureAwait(false);
        }

        await bucket.DeleteAsync(Key, cancellationToken).ConfigureAwait(false);
    }
}
