using Exporter.Engine.Observability;
using Exporter.Engine.Storage;

namespace Exporter.Engine.Workers;

/// <summary>
/// What a worker does for all of them now and then, if a look says that there is anything: has the ends of
/// runs carried, frees the runs of workers that died, looks at how much waits in its queue if somebody wants to know, and removes
/// runs that were final long ago.
/// </summary>
internal sealed class WorkerSweep(WorkerSettings settings, WorkerStore store, WorkerServices services, Func<bool> isNothingToDo, Action wake, Action carry)
{
    private const int ForgottenAtOnce = 500;

    public async Task RunAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            try
            {
                await SweepAsync(end).ConfigureAwait(false);
            }
            catch (Exception error) when (!end.IsCancellationRequested)
            {
                services.Metrics.Queues.Forget(settings.Queue);
                EngineLog.TriedAgain(services.Logger, "Sweeping", ErrorText.Of(error));
            }
            catch (Exception)
            {
                break;
            }

            await Task.Delay(settings.Options.LeasePeriod / 4, services.Time, end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        services.Metrics.Queues.Forget(settings.Queue);
    }

    private async Task SweepAsync(CancellationToken end)
    {
        if (!isNothingToDo())
        {
            var around = await store.LookAsync(settings.Queue, settings.Options.KeepFinished, end).ConfigureAwait(false);
            if (around.ToCarry)
            {
                carry();
            }

            if (around.ToSweep)
            {
                await FreeAsync(end).ConfigureAwait(false);
                await ForgetAsync(end).ConfigureAwait(false);
            }
        }

        if (services.Metrics.Queues.IsObserved)
        {
            var (depth, age) = await store.MeasureAsync(settings.Queue, end).ConfigureAwait(false);
            services.Metrics.Queues.Seen(settings.Queue, depth, age);
        }
    }

    private async Task FreeAsync(CancellationToken end)
    {
        var (lost, freed) = await store.SweepAsync(settings.Options.LeasePeriod, end).ConfigureAwait(false);
        lost.ForEach(worker => EngineLog.OtherWorkerLost(services.Logger, worker.Name, worker.Id));
        if (freed > 0)
        {
            wake();
        }
    }

    // A few small batches at a time: nobody waits for it, and others want the disk as well.
    private async Task ForgetAsync(CancellationToken end)
    {
        for (var batch = 0; batch < 10 && settings.Options.KeepFinished is { } keep; batch++)
        {
            if (await store.ForgetAsync(keep, ForgottenAtOnce, end).ConfigureAwait(false) < ForgottenAtOnce)
            {
                return;
            }
        }
    }
}
