using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>
/// A slice on its way to its receivers, message by message. Committed is what a receiver has acknowledged: the commit at the end
/// waits for the last answers and has nothing of its own to do.
/// </summary>
internal sealed class WebhookSliceSink : ISliceSink
{
    // Rows that become JSON at once: of a whole batch all would be in memory three times.
    private const int RowsAtOnce = 256;

    private readonly CancellationTokenSource _closing = new();
    private readonly SliceAddress _address;
    private readonly MessageCutter _cutter;
    private readonly DeliveryLog _log;
    private readonly IReadOnlyList<DeliveryLane> _lanes;
    private int _messages;
    private bool _ended;

    public WebhookSliceSink(IReadOnlyList<WebhookEndpoint> endpoints, WebhookOptions options, MessageCutter cutter, SliceAddress address)
    {
        _address = address;
        _cutter = cutter;
        _log = new DeliveryLog(
            address.Slice,
            address.Progress,
            $"{options.BatchRows} and {options.BatchBytes}",
            endpoints.Select(endpoint => endpoint.Receiver));
        _lanes = [.. endpoints.Select(endpoint => new DeliveryLane(endpoint, _log, options, _closing.Token))];
    }

    public long BytesSent => _lanes.Sum(lane => lane.BytesSent);

    public long BytesKept => _lanes.Sum(lane => lane.BytesKept);

    public async ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        for (var from = 0; from < batch.Length; from += RowsAtOnce)
        {
            // A view of the same memory, which is the caller's to free.
            var (start, count) = (from, Math.Min(RowsAtOnce, batch.Length - from));
            foreach (var message in await Task.Run(() => _cutter.Add(batch.Slice(start, count)), cancellationToken).ConfigureAwait(false))
            {
                await DeliverAsync(message, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    public async Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (_cutter.Complete() is { } last)
        {
            await DeliverAsync(last, cancellationToken).ConfigureAwait(false);
        }

        // All are waited for before one's failure counts, so that each receiver gets as far as it can.
        await Task.WhenAll(_lanes.Select(lane => lane.CompleteAsync())).WaitAsync(cancellationToken).ConfigureAwait(false);
        _log.CheckEnd(_messages);
        _ended = true;
        return new SliceReceipt { Slice = _address.Slice, Rows = _cutter.Rows, Bytes = _cutter.Bytes };
    }

    public async ValueTask DisposeAsync()
    {
        _ended = true;
        await _closing.CancelAsync().ConfigureAwait(false);
        foreach (var lane in _lanes)
        {
            await lane.DisposeAsync().ConfigureAwait(false);
        }

        _cutter.Dispose();
        _log.Dispose();
        _closing.Dispose();
    }

    private async Task DeliverAsync(WebhookMessage message, CancellationToken cancellationToken)
    {
        _messages++;
        foreach (var lane in _lanes)
        {
            await lane.OfferAsync(message, cancellationToken).ConfigureAwait(false);
        }

        if (_lanes.All(lane => lane.HasFailed))
        {
            _lanes[0].ThrowFailure();
        }
    }
}
