using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>Passes on what others ask of the runs that a worker holds: as it is told, and by looking after each renewal.</summary>
internal sealed class RunSteering(HeldRuns runs, WorkerStore store, ILogger logger) : IDisposable
{
    private readonly Bell _told = new();

    /// <summary>Something is asked of a run, which may be held here.</summary>
    public void Steer(Guid runId, string order)
    {
        if (!runs.TryGet(runId, out var run))
        {
            return;
        }

        switch (order)
        {
            case "cancel":
                run.Cancel();
                break;
            case "pause":
                run.BeginStop();
                break;
            case "event":
                run.WakeEvents();
                break;
            case "drop":
                // Somebody who was told late may mean an earlier claim: what stands in the database counts.
                _told.Ring();
                break;
        }
    }

    /// <summary>Looks at what became of the runs that are held, without this worker.</summary>
    public async Task LookAsync(CancellationToken cancellationToken)
    {
        var held = runs.All.ToArray();
        foreach (var (runId, order) in held.Length == 0 ? [] : await store.SteeredAsync([.. held.Select(run => run.RunId)], cancellationToken).ConfigureAwait(false))
        {
            if (order != "drop")
            {
                Steer(runId, order);
            }
            else if (runs.TryGet(runId, out var now) && held.Any(run => ReferenceEquals(run, now)))
            {
                now.Lose();
            }
        }
    }

    /// <summary>Looks whenever it is told that a run was taken away.</summary>
    public async Task RunAsync(CancellationToken end)
    {
        while (true)
        {
            await _told.HeardAsync(end).ConfigureAwait(false);
            if (end.IsCancellationRequested)
            {
                return;
            }

            try
            {
                await LookAsync(end).ConfigureAwait(false);
            }
            catch (Exception error) when (!end.IsCancellationRequested)
            {
                EngineLog.TriedAgain(logger, "Looking at what is asked of runs", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return;
            }
        }
    }

    public void Dispose() => _told.Dispose();
}
