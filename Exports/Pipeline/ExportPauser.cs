using Exporter.Engine.Observability;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Pipeline;

/// <summary>Pauses an export whose destination says that it wants no more.</summary>
internal sealed class ExportPauser(BatchExportStore exports)
{
    private const string Actor = "exporter";

    /// <summary>Calls code of a step; pauses when its error asks for that.</summary>
    public async Task<T> PausingAsync<T>(BatchExport export, IDestination destination, Func<Task<T>> body)
    {
        try
        {
            return await body().ConfigureAwait(false);
        }
        catch (Exception error) when (destination.Classify(error) is { PausesExport: true })
        {
            // Whatever becomes of this attempt, it is told once: not again by the other slices.
            var now = await exports.GetAsync(export.Id, CancellationToken.None).ConfigureAwait(false);
            if (now is { Paused: false, DeletedAt: null })
            {
                await exports.PauseAsync(now.Name, ErrorText.Scrub(error.Message), Actor, CancellationToken.None).ConfigureAwait(false);
            }

            throw;
        }
    }
}
