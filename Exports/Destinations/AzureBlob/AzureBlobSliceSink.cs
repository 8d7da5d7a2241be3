using System.Globalization;
using Apache.Arrow;
using Azure;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.AzureBlob;

/// <summary>
/// A slice on its way into one blob: in blocks, which nobody sees before they are committed all at once, and only if nobody else has
/// written the blob since this slice was opened. Where nothing lay then, the sign that the slice's opening left must still be there: who
/// throws a slice away, or ends its run without it, removes the sign and all blocks. While blocks are sent the next one is encoded, so one more
/// is held than is sent, and a row group.
/// </summary>
internal sealed class AzureBlobSliceSink(
    AzureContainer container, FormatOptions format, Schema schema, SliceAddress address, string key, Guid writer, ETag? before) : ISliceSink
{
    // Azure's limit for one blob.
    private const int MostBlocks = 50_000;

    private readonly PartSender _sender = new(container.ParallelBlocks);
    private readonly List<string> _blocks = [];
    private EncodedSlice? _encoded;
    private string? _note;
    private bool _ended;

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
        await SendFullBlocksAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
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
        await SendFullBlocksAsync(_encoded.Output, cancellationToken).ConfigureAwait(false);
        if (_encoded.Output.Buffered > 0)
        {
            await SendBlockAsync(_encoded.Output, _encoded.Output.Buffered, cancellationToken).ConfigureAwait(false);
        }

        await _sender.AllSentAsync().ConfigureAwait(false);
        var receipt = _encoded.Receipt(address.Slice, key);
        await PlanAsync(receipt, cancellationToken).ConfigureAwait(false);
        if (before is null)
        {
            await container.CheckClaimAsync(key, writer, cancellationToken).ConfigureAwait(false);
        }

        await container.CommitAsync(key, _blocks, before, writer, receipt.Bytes, cancellationToken).ConfigureAwait(false);
        _ended = true;
        return receipt;
    }

    // Blocks of an attempt that is given up stay where nobody sees them: the next commit of the blob throws them away, or the end of
    // the run, or Azure after a week.
    public async ValueTask DisposeAsync()
    {
        _ended = true;
        await _sender.DisposeAsync().ConfigureAwait(false);
        _encoded?.Dispose();
        _encoded = null;
    }

    private Task PlanAsync(SliceReceipt receipt, CancellationToken cancellationToken) =>
        new PlannedCommit(receipt, writer, _note).RecordAsync(address, cancellationToken);

    private async Task RemoveAsync(CancellationToken cancellationToken)
    {
        if (before is { } tag)
        {
            await container.DeleteAsync(key, tag, cancellationToken).ConfigureAwait(false);
            return;
        }

        await container.CheckClaimAsync(key, writer, cancellationToken).ConfigureAwait(false);
        await container.DropBlocksAsync(key, cancellationToken).ConfigureAwait(false);
    }

    private async Task SendFullBlocksAsync(ChunkedStream output, CancellationToken cancellationToken)
    {
        while (output.Buffered >= container.BlockSize)
        {
            await SendBlockAsync(output, container.BlockSize, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task SendBlockAsync(ChunkedStream output, long size, CancellationToken cancellationToken)
    {
        if (_blocks.Count == MostBlocks)
        {
            throw new UserErrorException(
                AzureBlobOptions.BlockSizeSetting,
                string.Create(CultureInfo.InvariantCulture, $"A slice is larger than {MostBlocks} blocks."),
                "Use larger blocks, or smaller slices.");
        }

        var block = AzureContainer.BlockId(writer, _blocks.Count);
        _blocks.Add(block);
        await _sender.SendAsync(output, size, (bytes, token) => container.StageAsync(key, block, bytes, token), cancellationToken).ConfigureAwait(false);
    }
}
