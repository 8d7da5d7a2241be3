using System.Globalization;
using Amazon.S3.Model;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.S3;

/// <summary>
/// A slice on its way into one object: in one request when it is smaller than a part, else in parts, which nobody sees before
/// the upload is complete. While a part is sent the next one is encoded, so two parts are held at most, and a row group.
/// </summary>
internal sealed class S3SliceSink(S3Destination destination, S3Bucket bucket, FormatOptions format, Schema schema, SliceAddress address, string key) : ISliceSink
{
    // S3's limit for one upload.
    private const int MostParts = 10_000;

    private static readonly TimeSpan AbortLimit = TimeSpan.FromSeconds(20);
    private readonly Guid _writer = Guid.NewGuid();
    private readonly CancellationTokenSource _closing = new();
    private readonly List<PartETag> _parts = [];
    private EncodedSlice? _encoded;
    private Task _sending = Task.CompletedTask;
    private string? _upload;
    private int _partNumber;
    private bool _ended;

    // Of parts that S3 has acknowledged; what the SDK repeats inside a request is not seen.
    public long BytesSent { get; private set; }

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (batch.Length == 0)
        {
            return;
        }

        _encoded ??= new EncodedSlice(format, schema, address);
        await _encoded.EncodeAsync(batch, cancellationToken).ConfigureAwait(false);
        await SendFullPartsAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (_encoded is null)
        {
            if (await bucket.ExistsAsync(key, cancellationToken).ConfigureAwait(false))
            {
                await destination.ManifestGoneAsync(address.Export, address.Interval, cancellationToken).ConfigureAwait(false);
                await bucket.DeleteAsync(key, cancellationToken).ConfigureAwait(false);
            }

            _ended = true;
            return EncodedSlice.EmptyReceipt(address.Slice);
        }

        await _encoded.CompleteAsync(cancellationToken).ConfigureAwait(false);
        await SendFullPartsAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
        await destination.ManifestGoneAsync(address.Export, address.Interval, cancellationToken).ConfigureAwait(false);
        if (_upload is null)
        {
            await PutAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await CompleteAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
        }

        _ended = true;
        return _encoded.Receipt(address.Slice, key);
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await _sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _encoded?.Dispose();
        _encoded = null;
        if (!_ended)
        {
            _ended = true;
            await AbortAsync().ConfigureAwait(false);
        }

        _closing.Dispose();
    }

    private async Task SendFullPartsAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        while (output.Buffered >= bucket.PartSize)
        {
            await SendPartAsync(output, bucket.PartSize, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task SendPartAsync(ChunkedStream output, long size, CancellationToken cancellationToken)
    {
        await _sending.ConfigureAwait(false);
        if (_partNumber == MostParts)
        {
            throw new UserErrorException(
                S3Options.PartSizeSetting,
                string.Create(CultureInfo.InvariantCulture, $"A slice is larger than {MostParts} parts."),
                "Use larger parts, or smaller slices.");
        }

        _upload ??= await bucket.BeginAsync(key, _writer, cancellationToken).ConfigureAwait(false);
        _sending = SendAsync(_upload, ++_partNumber, output.Take(size), cancellationToken);
    }

    private async Task SendAsync(string upload, int number, ChunkedBytes bytes, CancellationToken cancellationToken)
    {
        using (bytes)
        using (var sending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closing.Token))
        {
            _parts.Add(await bucket.SendPartAsync(key, upload, number, bytes, sending.Token).ConfigureAwait(false));
            BytesSent += bytes.Length;
        }
    }

    private async Task PutAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        using var bytes = output.TakeAll();
        var content = bytes.OpenRead();
        await using var closing = content.ConfigureAwait(false);
        await bucket.PutAsync(key, content, _writer, S3Destination.SliceContentType, cancellationToken).ConfigureAwait(false);
        BytesSent += bytes.Length;
    }

    private async Task CompleteAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        if (output.Buffered > 0)
        {
            await SendPartAsync(output, output.Buffered, cancellationToken).ConfigureAwait(false);
        }

        await _sending.ConfigureAwait(false);
        await bucket.CompleteAsync(key, _upload!, _parts, _writer, output.Length, cancellationToken).ConfigureAwait(false);
    }

    private async Task AbortAsync()
    {
        if (_upload is null)
        {
            return;
        }

        using var limit = new CancellationTokenSource(AbortLimit);
        try
        {
            await bucket.AbortAsync(key, _upload, limit.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The next attempt of the slice throws it away, or the end of the run; the error that ended this attempt matters.
        }
    }
}
