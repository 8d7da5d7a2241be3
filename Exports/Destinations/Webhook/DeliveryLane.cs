using System.Runtime.ExceptionServices;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>The way of one slice's messages to one receiver. When it fails the others go on; each has its own offset.</summary>
internal sealed class DeliveryLane(WebhookEndpoint endpoint, DeliveryLog log, WebhookOptions options, CancellationToken stop) : IAsyncDisposable
{
    private readonly SemaphoreSlim _window = new(options.AtOnce);
    private readonly List<Task> _sending = [];
    private Exception? _failure;
    private long _bytesSent;
    private long _bytesKept;

    /// <summary>Bytes of bodies that the receiver has answered, of every try.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    /// <summary>Those of messages that are written down as delivered, or as put aside: no attempt sends them again.</summary>
    public long BytesKept => Interlocked.Read(ref _bytesKept);

    public bool HasFailed => Volatile.Read(ref _failure) is not null;

    /// <summary>Takes a message on its way, once there is room for it.</summary>
    public async Task OfferAsync(WebhookMessage message, CancellationToken cancellationToken)
    {
        if (HasFailed || !log.Meet(endpoint.Receiver, message))
        {
            return;
        }

        await _window.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (HasFailed)
        {
            _window.Release();
            return;
        }

        await log.CommitAsync(cancellationToken).ConfigureAwait(false);
        _sending.RemoveAll(task => task.IsCompletedSuccessfully);
        _sending.Add(SendAsync(message));
    }

    /// <summary>Returns when every message that was taken has arrived.</summary>
    public async Task CompleteAsync()
    {
        await Task.WhenAll(_sending).ConfigureAwait(false);
        ThrowFailure();
    }

    public void ThrowFailure()
    {
        if (Volatile.Read(ref _failure) is { } failure)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_sending).ConfigureAwait(false);
        _window.Dispose();
    }

    // Throws nothing: a failure is kept until somebody asks.
    private async Task SendAsync(WebhookMessage message)
    {
        try
        {
            await Task.Yield();
            var bytes = 0;
            var refused = await DeliverAsync(message, answered => Interlocked.Add(ref _bytesSent, bytes = answered)).ConfigureAwait(false);
            log.Done(endpoint.Receiver, message.Number, refused);
            await log.CommitAsync(stop).ConfigureAwait(false);
            Interlocked.Add(ref _bytesKept, bytes);
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref _failure, error, null);
        }
        finally
        {
            _window.Release();
        }
    }

    private async Task<DeadLetter?> DeliverAsync(WebhookMessage message, Action<int> arrived)
    {
        try
        {
            await endpoint.SendAsync(message.Id, message.Body, arrived, stop).ConfigureAwait(false);
            return null;
        }
        catch (WebhookAnswerException answer) when (answer.IsRefusal && options.KeepsRejected)
        {
            return new DeadLetter
            {
                MessageId = message.Id,
                Receiver = endpoint.Receiver.Name,
                ReceiverKey = endpoint.Receiver.Key,
                Number = message.Number,
                Rows = message.Rows,
                Status = (int)answer.Status,
                Reason = answer.Message,
                Body = message.Body,
            };
        }
    }
}
