using System.Runtime.ExceptionServices;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations;

/// <summary>
/// Parts of a slice on their way to a server, so many at once at most: while they are sent the next one is encoded, so one more is held than is
/// sent. Once one has failed no other is begun. For one caller.
/// </summary>
internal sealed class PartSender(int atOnce) : IAsyncDisposable
{
    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _room = new(atOnce);
    private readonly List<Task> _sending = [];
    private ExceptionDispatchInfo? _failed;
    private long _bytesSent;

    /// <summary>Bytes of parts that the server has acknowledged; what its client repeats inside a request is not seen.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    /// <summary>Takes a part from what was encoded, once there is room for it, and begins to send it.</summary>
    /// <param name="output">What was encoded.</param>
    /// <param name="size">The part's bytes.</param>
    /// <param name="send">Sends it.</param>
    /// <param name="cancellationToken">Cancels the wait and the sending.</param>
    public async Task SendAsync(ChunkedStream output, long size, Func<ChunkedBytes, CancellationToken, Task> send, CancellationToken cancellationToken)
    {
        await _room.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (Volatile.Read(ref _failed) is { } failed)
        {
            _room.Release();
            failed.Throw();
        }

        _sending.RemoveAll(sent => sent.IsCompletedSuccessfully);
        _sending.Add(SendOneAsync(output.Take(size), send, cancellationToken));
    }

    /// <summary>Waits until every part has arrived.</summary>
    public Task AllSentAsync() => Task.WhenAll(_sending);

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_sending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _closing.Dispose();
        _room.Dispose();
    }

    // What went wrong is known before there is room for another.
    private async Task SendOneAsync(ChunkedBytes bytes, Func<ChunkedBytes, CancellationToken, Task> send, CancellationToken cancellationToken)
    {
        try
        {
            using var sending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closing.Token);
            await send(bytes, sending.Token).ConfigureAwait(false);
            Interlocked.Add(ref _bytesSent, bytes.Length);
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref _failed, ExceptionDispatchInfo.Capture(error), null);
            throw;
        }
        finally
        {
            bytes.Dispose();
            _room.Release();
        }
    }
}
