using Exporter.Engine.Workflows;

namespace Exporter.Exports.Pipeline;

/// <summary>Slices that this process moves at once, whichever runs they are of; first come, first served.</summary>
internal sealed class Lanes(int count) : IDisposable
{
    private readonly SemaphoreSlim _free = new(count);

    /// <summary>How many there are.</summary>
    public int Count => count;

    /// <summary>Waits for a lane, with signs of life; dispose of it to give it back.</summary>
    public async Task<IDisposable> TakeAsync(IStepContext step)
    {
        await Heartbeats.WhileAsync(step, WaitAsync(step.CancellationToken)).ConfigureAwait(false);
        return new Taken(_free);
    }

    public void Dispose() => _free.Dispose();

    private async Task<bool> WaitAsync(CancellationToken cancellationToken)
    {
        await _free.WaitAsync(cancellationToken).ConfigureAwait(false);
        return true;
    }

    private sealed class Taken(SemaphoreSlim free) : IDisposable
    {
        private int _given;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _given, 1) == 0)
            {
                free.Release();
            }
        }
    }
}
