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
    /// Renews at a third of the lease period until told to end or the lease is lost. On a thread of its own, and, while anything is
    /// executing, on a connection of its own, without any other thread's help: code of steps may block every thread of the pool,
    /// and is slow then, not dead. While nothing is executing it looks around for all others.
    /// </summary>
    /// <param name="executing">How many runs are executing.</param>
    /// <param name="stopping">Whether the worker has stopped claiming.</param>
    /// <param name="writer">Knows the writes that were refused.</param>
    /// <param name="look">The looks of an idle worker.</param>
    /// <param name="renewed">Called after each renewal, once the last call has ended.</param>
    /// <param name="end">Ends the loop.</param>
    public Task KeepAsync(
        Func<int> executing, Func<bool> stopping, CommitWriter writer, IdleLook look, Func<CancellationToken, Task> renewed, CancellationToken end)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                Keep(executing, stopping, writer, look, renewed, end);
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
        Func<int> executing, Func<bool> stopping, CommitWriter writer, IdleLook look, Func<CancellationToken, Task> renewed, CancellationToken end)
    {
        var interval = options.LeasePeriod / 3;
        var (renewAt, lookAt) = (After(interval), After(look.Pace));
        using var either = CancellationTokenSource.CreateLinkedTokenSource(end, Lost);
        NpgsqlConnection? own = null;
        var telling = Task.CompletedTask;
        while (!either.Token.WaitHandle.WaitOne(Until(Math.Min(renewAt, lookAt))))
        {
            if (executing() == 0)
            {
                own?.Dispose();
                own = null;
            }

            if (Until(renewAt) > TimeSpan.Zero)
            {
                lookAt = After(stopping() || executing() > 0 ? look.Pace : LookAround(look));
                continue;
            }

            var sent = time.GetTimestamp();
            var refused = writer.TakeRefused();
            using var quiet = executing() == 0 ? store.Quiet?.TryTake() : null;
            try
            {
                var connection = quiet is not null ? quiet.Open() : own ??= store.Connect();
                if (!store.Renew(connection, options.LeasePeriod, executing(), stopping(), refused))
                {
                    writer.GiveBackRefused(refused);
                    _ = _lost.CancelAsync();
                    break;
                }

                quiet?.Keep();
                Granted(sent);
                renewAt = After(interval);
                telling = telling.IsCompleted ? Task.Run(() => TellAsync(renewed, either.Token), CancellationToken.None) : telling;
            }
            catch (Exception error)
            {
                own?.Dispose();
                own = null;
                writer.GiveBackRefused(refused);
                EngineLog.TriedAgain(logger, "Renewing the lease", ErrorText.Of(error));
                renewAt = After(interval / 10);
            }
        }

        own?.Dispose();
    }

    // How long until the next look. What does not come about here, others do for themselves.
    private TimeSpan LookAround(IdleLook look)
    {
        using var quiet = store.Quiet?.TryTake();
        try
        {
            if (quiet is not null)
            {
                var again = look.Look(quiet.Open());
                quiet.Keep();
                return again;
            }
        }
        catch (Exception error)
        {
            EngineLog.TriedAgain(logger, "Looking for work", ErrorText.Of(error));
        }

        return look.Pace;
    }

    private long After(TimeSpan wait) =>
        wait == Timeout.InfiniteTimeSpan ? long.MaxValue : time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency);

    private TimeSpan Until(long at) => time.GetTimestamp() is var now && at <= now ? TimeSpan.Zero : time.GetElapsedTime(now, at);

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
