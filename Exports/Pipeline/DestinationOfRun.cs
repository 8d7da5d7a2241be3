using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Pipeline;

/// <summary>Makes a destination from its configuration.</summary>
internal delegate IDestination OpenDestination(Destination destination, FormatOptions format);

/// <summary>
/// The one destination instance of a run in this process. It belongs to the run's scope, which ends when the run leaves this
/// worker, also when its code is left where it waits.
/// </summary>
internal sealed class DestinationOfRun(DestinationStore store, OpenDestination open, DestinationMetrics metrics) : IAsyncDisposable
{
    private readonly SemaphoreSlim _opening = new(1);
    private IDestination? _destination;

    /// <summary>The run's destination, opened when it is first needed.</summary>
    public async Task<IDestination> OpenAsync(BatchExport export, CancellationToken cancellationToken)
    {
        await _opening.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_destination is null)
            {
                var configured = await store.LoadAsync(export.DestinationId, cancellationToken).ConfigureAwait(false);
                _destination = new MeasuredDestination(open(configured, export.Format), configured.Kind, metrics);
            }

            return _destination;
        }
        finally
        {
            _opening.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_destination is { } destination)
        {
            await destination.DisposeAsync().ConfigureAwait(false);
        }

        _opening.Dispose();
    }
}
