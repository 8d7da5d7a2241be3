using System.Collections.Concurrent;
using System.Globalization;
using Amazon.S3.Model;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.S3;

/// <summary>
/// A slice on its way into one object: in one request when it is smaller than a part, else in parts, which nobody sees before
/// the upload is complete. While parts are sent the next one is encoded, so one more is held than is sent, and a row group. An attempt that was
/// frozen meanwhile finds that its upload is gone, or, where the server knows conditions, that another object lies there than when it began.
/// </summary>
internal sealed class S3SliceSink(
    S3Bucket bucket, FormatOptions format, Schema schema, SliceAddress address, string key, ObjectState? before) : ISliceSink
{
    // S3's limit for one upload.
    private const int MostParts = 10_000;

    private static readonly TimeSpan AbortLimit = TimeSpan.FromSeconds(20);
    private readonly Guid _writer = Guid.NewGuid();
    private readonly PartSender _sender = new(bucket.ParallelParts);
    private readonly ConcurrentBag<PartETag> _parts = [];
    private EncodedSlice? _encoded;
    private string? _upload;
    private int _partNumber;
    private string? _note;
    private bool _ended;

    /// <summary>Whether the object is the slice, and is recorded as <see cref="PlannedCommit"/>; else another destination stages it, and commits it in
    /// a way of its own.</summary>
    public bool IsSlice { get; init; }

    public long BytesSent => _sender.BytesSent;

    public void Note(string note) => _note = note;

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
            var nothing = EncodedSlice.EmptyReceipt(address.Slice);
            await PlanAsync(nothing, cancellationToken).ConfigureAwait(false);
            await RemoveAsync(cancellationToken).ConfigureAwait(false);
            _ended = true;
            return nothing;
        }

        await _encoded.CompleteAsync(cancellationToken).ConfigureAwait(false);
        await SendFullPartsAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
        var receipt = _encoded.Receipt(address.Slice, key);
        if (_upload is null)
        {
            await PlanAsync(receipt, cancellationToken).ConfigureAwait(false);
            await PutAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await SendLastPartAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
            await PlanAsync(receipt, cancellationToken).ConfigureAwait(false);
            await bucket.CompleteAsync(key, _upload, [.. _parts.OrderBy(part => part.PartNumber)], _writer, receipt.Bytes, cancellationToken).ConfigureAwait(false);
        }

        _ended = true;
        return receipt;
    }

    public async ValueTask DisposeAsync()
    {
        await _sender.DisposeAsync().ConfigureAwait(false);
        _encoded?.Dispose();
        _encoded = null;
        if (!_ended)
        {
            _ended = true;
            await AbortAsync().ConfigureAwait(false);
        }
    }

    private Task PlanAsync(SliceReceipt receipt, CancellationToken cancellationToken) =>
        IsSlice ? new PlannedCommit(receipt, _writer, _note).RecordAsync(address, cancellationToken) : Task.CompletedTask;

    // No server removes an object on a condition, so what lies there is looked at first.
    private async Task RemoveAsync(CancellationToken cancellationToken)
    {
        var now = await bucket.TagAsync(key, cancellationToken).ConfigureAwait(false);
        if (before is not null && now != before.ETag)
        {
            throw new IOException($"{key} has changed since this attempt began: another has written it.");
        }

        if (now is not null)
        {
            await bucket.DeleteAsync(key, cancellationToken).ConfigureAwait(false);
        }
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
        if (_partNumber == MostParts)
        {
            throw new UserErrorException(
                S3Options.PartSizeSetting,
                string.Create(CultureInfo.InvariantCulture, $"A slice is larger than {MostParts} parts."),
                "Use larger parts, or smaller slices.");
        }

        var upload = _upload ??= await bucket.BeginAsync(key, _writer, cancellationToken).ConfigureAwait(false);
        var number = ++_partNumber;
        await _sender.SendAsync(
            output, size, async (bytes, token) => _parts.Add(await bucket.SendPartAsync(key, upload, number, bytes, token).ConfigureAwait(false)), cancellationToken).ConfigureAwait(false);
    }

    private async Task PutAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        await _sender.SendAsync(output, output.Buffered, WholeAsync, cancellationToken).ConfigureAwait(false);
        await _sender.AllSentAsync().ConfigureAwait(false);

        async Task WholeAsync(ChunkedBytes bytes, CancellationToken token)
        {
            var content = bytes.OpenRead();
            await using var closing = content.ConfigureAwait(false);
            await bucket.PutAsync(key, content, _writer, S3Destination.SliceContentType, before, token).ConfigureAwait(false);
        }
    }

    private async Task SendLastPartAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        if (output.Buffered > 0)
        {
            await SendPartAsync(output, output.Buffered, cancellationToken).ConfigureAwait(false);
        }

        await _sender.AllSentAsync().ConfigureAwait(false);
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
