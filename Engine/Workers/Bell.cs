namespace Exporter.Engine.Workers;

/// <summary>Rings for one who waits; rung more than once while nobody waits, it is heard once.</summary>
internal sealed class Bell : IDisposable
{
    private readonly SemaphoreSlim _rung = new(0);

    public void Ring()
    {
        if (_rung.CurrentCount == 0)
        {
            _rung.Release();
        }
    }

    /// <summary>Waits until it rings.</summary>
    /// <returns>False when it has not within that time.</returns>
    /// <exception cref="OperationCanceledException">The token fired.</exception>
    public Task<bool> WaitAsync(TimeSpan longest, CancellationToken cancellationToken) => _rung.WaitAsync(longest, cancellationToken);

    /// <summary>Waits until it rings or the token fires.</summary>
    public async Task HeardAsync(CancellationToken cancellationToken) =>
        await ((Task)_rung.WaitAsync(cancellationToken)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    public void Dispose() => _rung.Dispose();
}
