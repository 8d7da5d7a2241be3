using Exporter.Engine.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Notifications;

namespace Exporter.Exports.Pipeline;

/// <summary>Pauses an export whose destination says that it wants no more, or that goes on failing.</summary>
internal sealed class ExportPauser(BatchExportStore exports, NotificationOutbox outbox) : IDisposable
{
    private const string Actor = "exporter";

    // Slices that go side by side hear it at the same time.
    private readonly SemaphoreSlim _pausing = new(1);

    public void Dispose() => _pausing.Dispose();

    /// <summary>Calls code of a step; pauses when its error asks for that.</summary>
    public async Task<T> PausingAsync<T>(BatchExport export, IDestination destination, Func<Task<T>> body)
    {
        try
        {
            return await body().ConfigureAwait(false);
        }
        catch (Exception error) when (destination.Classify(error) is { PausesExport: true })
        {
            await PauseAsync(export.Id, ErrorText.Scrub(error.Message)).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Pauses an export, once; whatever becomes of this attempt, and of who asks at the same time.</summary>
    public async Task PauseAsync(Guid exportId, string note)
    {
        await _pausing.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            var now = await exports.GetAsync(exportId, CancellationToken.None).ConfigureAwait(false);
            if (now is { Paused: false, DeletedAt: null })
            {
                await exports.In(now.Project).PauseAsync(
                    now.Name,
                    note,
                    Actor,
                    transaction => outbox.TellAsync(transaction, NotificationEvent.Paused, new(exportId, null, null, note), CancellationToken.None),
                    CancellationToken.None).ConfigureAwait(false);
            }
        }
        finally
        {
            _pausing.Release();
        }
    }
}
