using System.Text.Json;
using System.Threading.Channels;
using Apache.Arrow;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>One attempt of one slice: read, write, commit at the destination, then commit here. Reading goes on while writing.</summary>
internal sealed class SliceExporter(ClickHouseSource source, RunStore runs, MemoryBudget memory)
{
    /// <summary>Exports a slice, or answers the receipt of an earlier attempt that died after its commit.</summary>
    public async Task<SliceReceipt> ExportAsync(
        IStepContext step, RunOrder order, ExportPlan plan, Slice slice, IDestination destination)
    {
        if (step.TryGetCheckpoint<SliceReceipt>(out var committed))
        {
            return committed;
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(step.CancellationToken);
        var address = new SliceAddress(order.Export.Name, order.Interval, slice.Number, step.Attempt, step.FencingToken) { StepKey = step.IdempotencyKey };
        if (await destination.ResumeSliceAsync(address, stop.Token).ConfigureAwait(false) is { } there)
        {
            return await CommitAsync(step, there, 0).ConfigureAwait(false);
        }

        var reader = await OpenAsync(step, order, plan, slice, stop.Token).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var schema = destination.TakesSourceTypes ? SourceTypes.On(reader.Schema, plan.Columns) : reader.Schema;
        var sink = await destination.OpenSliceAsync(address, schema, stop.Token).ConfigureAwait(false);
        await using var aborting = sink.ConfigureAwait(false);
        var rows = await MoveAsync(step, reader, sink, stop).ConfigureAwait(false);
        var receipt = await sink.CommitAsync(stop.Token).ConfigureAwait(false);
        if (receipt.Rows != rows)
        {
            throw new InvalidDataException($"Slice {slice.Number}: {rows} rows were read and {receipt.Rows} written.");
        }

        return await CommitAsync(step, receipt, reader.BytesRead).ConfigureAwait(false);
    }

    private async Task<SliceReceipt> CommitAsync(IStepContext step, SliceReceipt receipt, long sourceBytes)
    {
        await step.CommitAsync(receipt, (transaction, token) => runs.CommitSliceAsync(
            transaction, step.RunId, receipt, sourceBytes, step.Attempt, step.FencingToken, token)).ConfigureAwait(false);
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

    private async Task<long> MoveAsync(IStepContext step, SourceReader reader, ISliceSink sink, CancellationTokenSource stop)
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
