using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>
/// Keeps a worker's lease, and knows when it has ended: measured from the moment a renewal was sent, so this worker never
/// believes in its lease for longer than the database does.
/// </summary>
internal sealed class LeaseKeeper(WorkerStore store, WorkerOptions options, TimeProvider time, ILogger logger) : IDisposable
{
    private readonly CancellationTokenSource _lost = new(Timeout.InfiniteTimeSpan, time);

    /// <summary>Fires when the lease has ended without being given back.</summary>
    public CancellationToken Lost => _lost.Token;

    public bool IsLost => _lost.IsCancellationRequested;

    /// <summary>The lease was granted by a statement that was sent at this time stamp.</summary>
    public void Granted(long sent)
    {
        var left = options.LeasePeriod - time.GetElapsedTime(sent);
        if (!IsLost)
        {
            _lost.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }
    }

    /// <summary>Renews at a third of the lease period until told to end or the lease is lost.</summary>
    /// <param name="executing">How many runs are executing.</param>
    /// <param name="stopping">Whether the worker has stopped claiming.</param>
    /// <param name="writer">Knows the writes that were refused.</param>
    /// <param name="renewed">Called after each renewal.</param>
    /// <param name="end">Ends the loop.</param>
    public async Task KeepAsync(
        Func<int> executing, Func<bool> stopping, CommitWriter writer, Func<CancellationToken, Task> renewed, CancellationToken end)
    {
        var interval = options.LeasePeriod / 3;
        var pause = interval;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(end, Lost);
        while (true)
        {
            await Task.Delay(pause, time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (either.IsCancellationRequested)
            {
                return;
            }

            var sent = time.GetTimestamp();
            var refused = writer.TakeRefused();
            try
            {
                if (!await store.RenewAsync(options.LeasePeriod, executing(), stopping(), refused, either.Token).ConfigureAwait(false))
                {
                    writer.GiveBackRefused(refused);
                    await _lost.CancelAsync().ConfigureAwait(false);
                    return;
                }

                // Stored now, whatever comes after.
                refused = 0;
                Granted(sent);
                await renewed(either.Token).ConfigureAwait(false);
                pause = interval;
            }
            catch (Exception error) when (!either.IsCancellationRequested)
            {
                writer.GiveBackRefused(refused);
                EngineLog.TriedAgain(logger, "Renewing the lease", ErrorText.Of(error));
                pause = interval / 10;
            }
            catch (Exception)
            {
                return;
            }
        }
    }

    public void Dispose() => _lost.Dispose();
}
