using System.Text.Json;
using System.Threading.Channels;
using Apache.Arrow;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>One attempt of one slice: read, write, commit at the destination, then commit here. Reading goes on while writing.</summary>
internal sealed class SliceExporter(
    ClickHouseSource source, RunStore runs, AttemptStore attempts, MemoryBudget memory, Lanes lanes, TimeProvider time, ILogger<SliceExporter> log)
{
    /// <summary>Exports a slice, or answers the receipt of an earlier attempt that died after its commit.</summary>
    public async Task<SliceReceipt> ExportAsync(
        IStepContext step, RunOrder order, ExportPlan plan, Slice slice, IDestination destination)
    {
        if (step.TryGetCheckpoint<SliceReceipt>(out var committed))
        {
            return committed;
        }

        using var lane = await lanes.TakeAsync(step).ConfigureAwait(false);
        var attempt = await SliceAttempt.BeginAsync(
            attempts, new AttemptId(step.RunId, slice.Number, step.FencingToken, step.Attempt), time, log, step.CancellationToken).ConfigureAwait(false);
        await using var ending = attempt.ConfigureAwait(false);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(step.CancellationToken);
        var reader = await OpenAsync(step, order, plan, slice, stop.Token).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var address = new SliceAddress(order.Export.Name, order.Interval, slice.Number, step.Attempt, step.FencingToken);
        var sink = await destination.OpenSliceAsync(address, reader.Schema, stop.Token).ConfigureAwait(false);
        await using var aborting = sink.ConfigureAwait(false);
        var moved = 0L;
        attempt.Of(() => new Moved(Interlocked.Read(ref moved), reader.BytesRead, sink.BytesSent));
        var rows = await MoveAsync(
            step,
            reader,
            sink,
            count =>
            {
                Interlocked.Add(ref moved, count);
                attempt.Tick();
            },
            stop).ConfigureAwait(false);
        var receipt = await sink.CommitAsync(stop.Token).ConfigureAwait(false);
        if (receipt.Rows != rows)
        {
            throw new InvalidDataException($"Slice {slice.Number}: {rows} rows were read and {receipt.Rows} written.");
        }

        await step.CommitAsync(receipt, async (transaction, token) =>
        {
            await runs.CommitSliceAsync(
                transaction, step.RunId, receipt, reader.BytesRead, step.Attempt, step.FencingToken, token).ConfigureAwait(false);
            await attempt.CommitAsync(transaction, token).ConfigureAwait(false);
        }).ConfigureAwait(false);
        attempt.Committed();
        return receipt;
    }

    // ClickHouse may think for long before its first byte, within its own timeout; that is no reason to start again.
    private async Task<SourceReader> OpenAsync(IStepContext step, RunOrder order, ExportPlan plan, Slice slice, CancellationToken stop)
    {
        var queryId = $"exporter-{step.RunId:N}-{slice.Number}-{step.FencingToken}-{step.Attempt}";
        var comment = JsonSerializer.Serialize(new
        {
            export = order.Export.Name, run = step.RunId, slice = slice.Number, attempt = step.Attempt, epoch = step.FencingToken,
        });
        return await Heartbeats.WhileAsync(
            step, source.ReadAsync(QueryBuilder.Rows(order.Export.Model, plan.Columns, slice), queryId, comment, stop)).ConfigureAwait(false);
    }

    private async Task<long> MoveAsync(IStepContext step, SourceReader reader, ISliceSink sink, Action<int> moved, CancellationTokenSource stop)
    {
        var batches = Channel.CreateUnbounded<(RecordBatch Batch, long Bytes)>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        var reading = ReadAsync(reader, batches.Writer, stop.Token);
        var rows = 0L;
        try
        {
            await foreach (var (batch, bytes) in batches.Reader.ReadAllAsync(stop.Token).ConfigureAwait(false))
            {
                try
                {
                    await sink.WriteAsync(batch, stop.Token).ConfigureAwait(false);
                    rows += batch.Length;
                    moved(batch.Length);
                }
                finally
                {
                    batch.Dispose();
                    memory.Release(bytes);
                }

                step.Heartbeat();
            }

            await reading.ConfigureAwait(false);
            return rows;
        }
        catch
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            while (batches.Reader.TryRead(out var left))
            {
                left.Batch.Dispose();
                memory.Release(left.Bytes);
            }

            throw;
        }
    }

    // The budget bounds what is read ahead, over all lanes of the process.
    private async Task ReadAsync(SourceReader reader, ChannelWriter<(RecordBatch, long)> batches, CancellationToken stop)
    {
        try
        {
            while (await reader.NextAsync(stop).ConfigureAwait(false) is { } batch)
            {
                var bytes = BytesOf(batch);
                try
                {
                    await memory.AcquireAsync(bytes, stop).ConfigureAwait(false);
                }
                catch
                {
                    batch.Dispose();
                    throw;
                }

                batches.TryWrite((batch, bytes));
            }

            batches.Complete();
        }
        catch (Exception error)
        {
            batches.Complete(error);
            throw;
        }
    }

    private static long BytesOf(RecordBatch batch) => batch.Arrays.Sum(array => BytesOf(array.Data));

    private static long BytesOf(ArrayData data) =>
        data.Buffers.Sum(buffer => (long)buffer.Length) + (data.Children?.Sum(BytesOf) ?? 0) + (data.Dictionary is { } dictionary ? BytesOf(dictionary) : 0);
}
