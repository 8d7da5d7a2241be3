namespace Exporter.Exports.Pipeline;

/// <summary>
/// Bytes that all lanes of the process together may hold between source and destination. First come, first served; something
/// larger than the whole budget passes alone.
/// </summary>
internal sealed class MemoryBudget
{
    private readonly Lock _lock = new();
    private readonly Queue<(long Bytes, TaskCompletionSource Granted)> _waiting = new();
    private readonly long _total;
    private long _used;

    /// <summary>Makes a budget.</summary>
    /// <param name="total">Bytes; at least 1. Default 96 MiB.</param>
    public MemoryBudget(long total = 96L << 20)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(total, 1);
        _total = total;
    }

    /// <summary>Bytes that are held now.</summary>
    public long Used
    {
        get
        {
            lock (_lock)
            {
                return _used;
            }
        }
    }

    /// <summary>Waits until so many bytes may be held. Give the same number back with <see cref="Release"/>.</summary>
    public async Task AcquireAsync(long bytes, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        TaskCompletionSource granted;
        lock (_lock)
        {
            if (_waiting.Count == 0 && Fits(bytes))
            {
                _used += bytes;
                return;
            }

            granted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue((bytes, granted));
        }

        var registration = cancellationToken.UnsafeRegister(
            static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), granted);
        await using (registration.ConfigureAwait(false))
        {
            try
            {
                await granted.Task.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // It may have stood before others that fit.
                lock (_lock)
                {
                    Grant();
                }

                throw;
            }
        }
    }

    /// <summary>Gives bytes back.</summary>
    public void Release(long bytes)
    {
        lock (_lock)
        {
            _used -= bytes;
            Grant();
        }
    }

    private bool Fits(long bytes) => _used == 0 || _used + bytes <= _total;

    private void Grant()
    {
        while (_waiting.TryPeek(out var next))
        {
            if (next.Granted.Task.IsCompleted)
            {
                _waiting.Dequeue();
            }
            else if (!Fits(next.Bytes))
            {
                return;
            }
            else
            {
                _waiting.Dequeue();
                if (next.Granted.TrySetResult())
                {
                    _used += next.Bytes;
                }
            }
        }
    }
}
