using System.Text.Json;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>
/// The offsets of all receivers of a slice, kept where the next attempt finds them. What is about to be sent is written down
/// before it is sent, and what was acknowledged right after; changes that come while a commit is under way share the next one.
/// </summary>
internal sealed class DeliveryLog : IDisposable
{
    private readonly ISliceProgress? _kept;
    private readonly string _layout;
    private readonly IReadOnlyDictionary<string, (string Name, ReceiverOffset Offset)> _offsets;
    private readonly Lock _changing = new();
    private readonly SemaphoreSlim _committing = new(1);
    private List<DeadLetter> _deadLetters = [];
    private long _asked;
    private long _committed;

    /// <exception cref="UserErrorException">An earlier attempt cut messages by other settings.</exception>
    public DeliveryLog(int slice, ISliceProgress? kept, string layout, IEnumerable<WebhookReceiver> receivers)
    {
        _kept = kept;
        _layout = layout;
        var before = kept?.Last is { } last ? JsonSerializer.Deserialize<DeliveryProgress>(last, ExportJson.Options) : null;
        if (before is not null && before.Layout != layout)
        {
            throw new UserErrorException(
                WebhookOptions.BatchRowsSetting,
                "Messages of this slice were cut by other settings when its delivery began.",
                $"Set batch_rows and batch_bytes to {before.Layout} until the run has ended.");
        }

        _offsets = receivers.ToDictionary(
            receiver => receiver.Key, receiver => (receiver.Name, new ReceiverOffset(slice, before?.Receivers.GetValueOrDefault(receiver.Key))), StringComparer.Ordinal);
    }

    /// <summary>Whether a message is still to be sent to a receiver; commit before it is.</summary>
    public bool Meet(WebhookReceiver receiver, WebhookMessage message)
    {
        lock (_changing)
        {
            return _offsets[receiver.Key].Offset.Meet(message);
        }
    }

    /// <summary>A receiver has a message, or refused it and it is to be kept aside; commit after.</summary>
    public void Done(WebhookReceiver receiver, int number, DeadLetter? refused)
    {
        lock (_changing)
        {
            _offsets[receiver.Key].Offset.Done(number);
            if (refused is not null)
            {
                _deadLetters.Add(refused);
            }
        }
    }

    /// <summary>All messages of the slice were met.</summary>
    public void CheckEnd(int messages)
    {
        lock (_changing)
        {
            foreach (var (_, offset) in _offsets.Values)
            {
                offset.CheckEnd(messages);
            }
        }
    }

    /// <summary>Durable when it returns: everything that was said before the call.</summary>
    public async Task CommitAsync(CancellationToken cancellationToken)
    {
        if (_kept is null)
        {
            return;
        }

        var mine = Interlocked.Increment(ref _asked);
        await _committing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_committed < mine)
            {
                var (upTo, delivery) = Take();
                await _kept.CommitAsync(delivery, cancellationToken).ConfigureAwait(false);
                _committed = upTo;
            }
        }
        finally
        {
            _committing.Release();
        }
    }

    public void Dispose() => _committing.Dispose();

    private (long UpTo, SliceDelivery Delivery) Take()
    {
        lock (_changing)
        {
            var upTo = Interlocked.Read(ref _asked);
            var progress = new DeliveryProgress
            {
                Layout = _layout,
                Receivers = _offsets.ToDictionary(pair => pair.Key, pair => pair.Value.Offset.Progress, StringComparer.Ordinal),
            };
            var delivery = new SliceDelivery
            {
                Progress = ExportJson.Write(progress),
                Offsets = [.. _offsets.Values.Select(one => new DeliveryOffset(one.Name, one.Offset.Messages, one.Offset.Rows))],
                DeadLetters = _deadLetters,
            };
            _deadLetters = [];
            return (upTo, delivery);
        }
    }
}
