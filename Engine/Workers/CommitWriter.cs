using System.Threading.Channels;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>
/// Group commit: while one transaction is under way the writes of other runs gather, and the next transaction takes them all.
/// An idle writer writes at once, a loaded one waits a moment for more. Writes of one run always take the same lane, so two lanes never wait for each other.
/// </summary>
internal sealed class CommitWriter : IAsyncDisposable
{
    private const int LargestBatch = 1000;

    // Under load a moment's wait makes batches several times as large, and each write cheaper.
    private const int LoadedFrom = 32;
    private static readonly TimeSpan Linger = TimeSpan.FromMilliseconds(2);
    private const int LongestLinger = 4;
    private const long LargestPayload = 8 << 20;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);
    private readonly WriteStore _store;
    private readonly TimeProvider _time;
    private readonly EngineMetrics _metrics;
    private readonly ILogger _logger;
    private readonly Channel<Write>[] _lanes;
    private readonly Task[] _loops;
    private readonly CancellationTokenSource _giveUp = new();
    private long _refused;

    public CommitWriter(WriteStore store, int lanes, TimeProvider time, EngineMetrics metrics, ILogger logger)
    {
        _store = store;
        _time = time;
        _metrics = metrics;
        _logger = logger;
        _lanes = new Channel<Write>[lanes];
        _loops = new Task[lanes];
        for (var lane = 0; lane < lanes; lane++)
        {
            var channel = Channel.CreateUnbounded<Write>(new UnboundedChannelOptions { SingleReader = true });
            _lanes[lane] = channel;
            _loops[lane] = Task.Run(() => WriteAllAsync(channel.Reader));
        }
    }

    /// <summary>Takes the number of refused writes since the last call.</summary>
    public long TakeRefused() => Interlocked.Exchange(ref _refused, 0);

    /// <summary>Gives back a number that was taken but could not be stored.</summary>
    public void GiveBackRefused(long count) => Interlocked.Add(ref _refused, count);

    /// <summary>Counts writes that were refused.</summary>
    public void CountRefused(long count)
    {
        Interlocked.Add(ref _refused, count);
        _metrics.WritesRefused(count);
    }

    /// <summary>Hands a write over; see <see cref="Write.Done"/>.</summary>
    public void Post(Write write)
    {
        var lane = (uint)write.RunId.GetHashCode() % (uint)_lanes.Length;
        if (!_lanes[lane].Writer.TryWrite(write))
        {
            write.Settle(Refusal(write));
        }
    }

    /// <summary>Hands a write over and waits until it is durable.</summary>
    /// <exception cref="LeaseLostException">The run is held under another epoch; nothing was written.</exception>
    public Task WriteAsync(Write write)
    {
        Post(write);
        return write.Done;
    }

    /// <summary>No longer waits for a server that does not answer: what is not written is refused.</summary>
    public void GiveUp() => _giveUp.Cancel();

    /// <summary>Writes what was handed over, and ends.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var lane in _lanes)
        {
            lane.Writer.TryComplete();
        }

        await Task.WhenAll(_loops).ConfigureAwait(false);
        _giveUp.Dispose();
    }

    private static LeaseLostException Refusal(Write write) =>
        new($"Run {write.RunId} is no longer held under epoch {write.Epoch}; nothing was written.");

    private async Task WriteAllAsync(ChannelReader<Write> reader)
    {
        var batch = new List<Write>(LargestBatch);
        while (await reader.WaitToReadAsync().ConfigureAwait(false))
        {
            var isLoaded = batch.Count >= LoadedFrom;
            batch.Clear();
            Gather(reader, batch);
            if (isLoaded)
            {
                await LingerAsync(reader, batch).ConfigureAwait(false);
            }

            await CommitAsync(batch).ConfigureAwait(false);
        }
    }

    // The runs whose writes were settled just now are on their way to the next ones: wait while they keep coming.
    private async Task LingerAsync(ChannelReader<Write> reader, List<Write> batch)
    {
        for (var moment = 0; moment < LongestLinger && batch.Count < LargestBatch / 2; moment++)
        {
            var before = batch.Count;
            await Task.Delay(Linger, _time).ConfigureAwait(false);
            Gather(reader, batch);
            if (batch.Count - before < before / 4)
            {
                return;
            }
        }
    }

    // One step may stand only once among the open steps of a statement, and a run among the statuses; the second one waits for
    // the next batch.
    private static void Gather(ChannelReader<Write> reader, List<Write> batch)
    {
        HashSet<(Guid, int)>? open = null;
        var payload = 0L;
        foreach (var write in batch)
        {
            payload += write.Payload?.Length ?? 0;
            if (write.Kind is WriteKind.OpenStep or WriteKind.Status)
            {
                (open ??= []).Add((write.RunId, write.Kind == WriteKind.Status ? -1 : write.Place));
            }
        }

        while (batch.Count < LargestBatch && payload < LargestPayload && reader.TryPeek(out var write))
        {
            if ((write.Kind == WriteKind.OpenStep && !(open ??= []).Add((write.RunId, write.Place)))
                || (write.Kind == WriteKind.Status && !(open ??= []).Add((write.RunId, -1))))
            {
                return;
            }

            reader.TryRead(out _);
            payload += write.Payload?.Length ?? 0;
            batch.Add(write);
        }
    }

    private async Task CommitAsync(List<Write> batch)
    {
        var inDoubt = false;
        var isRecorded = false;
        for (var pause = TimeSpan.FromMilliseconds(20); ; pause = Min(pause * 2, LongestPause))
        {
            try
            {
                var sent = _time.GetTimestamp();
                var accepted = await _store.CommitAsync(batch, again: inDoubt || isRecorded, CancellationToken.None).ConfigureAwait(false);
                _metrics.Committed(batch.Count, _time.GetElapsedTime(sent));
                Settle(batch, accepted, inDoubt);
                return;
            }
            catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.UniqueViolation && !inDoubt && !isRecorded)
            {
                // A step of another batch that was thought to have failed.
                isRecorded = true;
            }
            catch (Exception error) when (TransientErrors.Include(error))
            {
                // The answer may have been lost after the commit. Repeating is harmless: records are inserted once, and a
                // run that is final or given back by now refuses, which is as good as lost to this worker.
                inDoubt = true;
                if (_giveUp.IsCancellationRequested)
                {
                    batch.ForEach(write => write.Settle(Refusal(write)));
                    return;
                }

                EngineLog.TriedAgain(_logger, "Writing", ErrorText.Of(error));
                await Task.Delay(pause, _time, _giveUp.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception error) when (batch.Count > 1)
            {
                // One of them is bad; alone it fails alone.
                EngineLog.TriedAgain(_logger, "Writing one by one", ErrorText.Of(error));
                foreach (var write in batch.ToArray())
                {
                    await CommitAsync([write]).ConfigureAwait(false);
                }

                return;
            }
            catch (Exception error)
            {
                batch[0].Settle(error);
                return;
            }
        }
    }

    private void Settle(List<Write> batch, HashSet<(Guid, long)> accepted, bool inDoubt)
    {
        var refused = 0;
        foreach (var write in batch)
        {
            if (write.Kind == WriteKind.Log || accepted.Contains((write.RunId, write.Epoch)))
            {
                write.Settle(null);
            }
            else
            {
                refused += inDoubt && write.Kind is WriteKind.Finish or WriteKind.Leave or WriteKind.Retry or WriteKind.Continue ? 0 : 1;
                write.Settle(Refusal(write));
            }
        }

        if (refused > 0)
        {
            CountRefused(refused);
            EngineLog.WritesRefused(_logger, refused);
        }
    }

    private static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
