using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;
using Npgsql;

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

    /// <summary>
    /// Renews at a third of the lease period until told to end or the lease is lost. On a thread and a connection of its own, and
    /// without any other thread's help: code of steps may block every thread of the pool, and is slow then, not dead.
    /// </summary>
    /// <param name="executing">How many runs are executing.</param>
    /// <param name="stopping">Whether the worker has stopped claiming.</param>
    /// <param name="writer">Knows the writes that were refused.</param>
    /// <param name="renewed">Called after each renewal, once the last call has ended.</param>
    /// <param name="end">Ends the loop.</param>
    public Task KeepAsync(
        Func<int> executing, Func<bool> stopping, CommitWriter writer, Func<CancellationToken, Task> renewed, CancellationToken end)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                Keep(executing, stopping, writer, renewed, end);
                ended.SetResult();
            }
            catch (Exception error)
            {
                ended.SetException(error);
            }
        })
        {
            IsBackground = true, Name = "exporter lease",
        };
        thread.Start();
        return ended.Task;
    }

    private void Keep(
        Func<int> executing, Func<bool> stopping, CommitWriter writer, Func<CancellationToken, Task> renewed, CancellationToken end)
    {
        var interval = options.LeasePeriod / 3;
        var pause = interval;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(end, Lost);
        NpgsqlConnection? connection = null;
        var telling = Task.CompletedTask;
        while (!either.Token.WaitHandle.WaitOne(pause))
        {
            var sent = time.GetTimestamp();
            var refused = writer.TakeRefused();
            try
            {
                connection ??= store.Connect();
                if (!store.Renew(connection, options.LeasePeriod, executing(), stopping(), refused))
                {
                    writer.GiveBackRefused(refused);
                    _ = _lost.CancelAsync();
                    break;
                }

                Granted(sent);
                pause = interval;
                telling = telling.IsCompleted ? Task.Run(() => TellAsync(renewed, either.Token), CancellationToken.None) : telling;
            }
            catch (Exception error)
            {
                connection?.Dispose();
                connection = null;
                writer.GiveBackRefused(refused);
                EngineLog.TriedAgain(logger, "Renewing the lease", ErrorText.Of(error));
                pause = interval / 10;
            }
        }

        connection?.Dispose();
    }

    private async Task TellAsync(Func<CancellationToken, Task> renewed, CancellationToken end)
    {
        try
        {
            await renewed(end).ConfigureAwait(false);
        }
        catch (Exception error) when (!end.IsCancellationRequested)
        {
            EngineLog.TriedAgain(logger, "Looking at what is asked of runs", ErrorText.Of(error));
        }
        catch (Exception)
        {
            // It ends.
        }
    }

    public void Dispose() => _lost.Dispose();
}
