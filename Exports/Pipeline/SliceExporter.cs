using System.Globalization;
using System.Threading.Channels;
using Apache.Arrow;
using Exporter.Engine.Observability;
using Exporter.Engine.Workflows;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>One attempt of one slice: read, write, commit at the destination, then commit here. Reading goes on while writing.</summary>
internal sealed class SliceExporter(
    ClickHouseSource source, RunStore runs, DeliveryStore deliveries, QuarantineStore quarantine, AttemptStore attempts, SliceSplitter splitter,
    MemoryBudget memory, Lanes lanes, TimeProvider time, ILogger<SliceExporter> log)
{
    /// <summary>Exports a slice, or splits it in two when it is too much for one attempt; what an earlier attempt has recorded is
    /// answered.</summary>
    public async Task<SliceOutcome> ExportAsync(IStepContext step, RunWork work, Slice slice, IDestination destination)
    {
        var recorded = step.TryGetCheckpoint<SliceOutcome>(out var last) ? last : null;
        var progress = new SliceProgress(step, deliveries, work.RunId, slice.Number, recorded?.Progress);
        var address = new SliceAddress(work.Order.Export.PlaceName, work.Order.Interval, slice.Number, step.Attempt, step.FencingToken)
        {
            Table = work.Order.Export.Model.Table ?? "", Progress = progress, StepKey = step.IdempotencyKey,
        };
        if (recorded is { Receipt: not null } or { Halves: not null })
        {
            return recorded.Splitting
                ? await RecordSplitAsync(step, work, slice, address, destination, recorded.Halves!).ConfigureAwait(false)
                : recorded;
        }

        using var lane = await lanes.TakeAsync(step).ConfigureAwait(false);
        using var counting = QueryNames.Watch(step, work.Order.Export.Name, string.Create(CultureInfo.InvariantCulture, $"split-{slice.Number}"));
        var id = new AttemptId(work.RunId, slice.Number, step.RunId, step.FencingToken, step.Attempt);
        try
        {
            var attempt = await SliceAttempt.BeginAsync(attempts, id, time, log, step.CancellationToken).ConfigureAwait(false);
            await using var ending = attempt.ConfigureAwait(false);
            var receipt = await ResumeAsync(step, work, slice, address, destination, attempt, id).ConfigureAwait(false)
                ?? await MoveAsync(step, work, slice, address, destination, attempt).ConfigureAwait(false);
            return new SliceOutcome(receipt, null);
        }
        catch (Exception error) when (
            !step.CancellationToken.IsCancellationRequested && !(work.InPieces && progress.Last is not null) && SliceSplitter.Asks(error, step.Attempt))
        {
            if (await SplitAsync(step, work, slice, address, destination, error).ConfigureAwait(false) is { } split)
            {
                return split;
            }

            throw;
        }
    }

    // An earlier attempt has committed at the destination and got no answer. Rows that it put aside have died with it, so a slice with
    // such rows has no note, and is exported again in place.
    private async Task<SliceReceipt?> ResumeAsync(
        IStepContext step, RunWork work, Slice slice, SliceAddress address, IDestination destination, SliceAttempt attempt, AttemptId id)
    {
        var finding = destination.ResumeSliceAsync(address, step.CancellationToken);
        if (await Heartbeats.WhileAsync(step, finding).ConfigureAwait(false) is not { Note: { } note, Receipt: var there } found)
        {
            return null;
        }

        var receipt = ExportJson.Read<SliceReceipt>(note) with { Rows = there.Rows, Bytes = there.Bytes, File = there.File, Sha256 = there.Sha256 };
        await CheckSizeAsync(work, slice, receipt, step.CancellationToken).ConfigureAwait(false);
        var by = found.By is var (token, number) ? id with { Epoch = token, Attempt = number } : null;
        await CommitAsync(step, work, attempt, receipt, sourceBytes: 0, [], by).ConfigureAwait(false);
        step.Log(LogLevel.Information, $"Slice {receipt.Slice} was committed by an earlier attempt whose answer was lost.");
        return receipt;
    }

    private async Task<SliceReceipt> MoveAsync(IStepContext step, RunWork work, Slice slice, SliceAddress address, IDestination destination, SliceAttempt attempt)
    {
        var settings = work.Order.Export.Settings;
        using var slow = new CancellationTokenSource(settings.MaxSliceTime, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(step.CancellationToken, slow.Token);
        try
        {
            var reader = await OpenAsync(step, work, slice, destination, stop.Token).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            var schema = destination.TakesSourceTypes ? SourceTypes.On(reader.Schema, work.Columns) : reader.Schema;
            var gate = new RowGate(work.Order, schema, destination);
            var sink = await destination.OpenSliceAsync(address, gate.Schema, stop.Token).ConfigureAwait(false);
            await using var aborting = sink.ConfigureAwait(false);
            attempt.Of(() => Moved.Of(gate.Rows, reader.BytesRead, sink));
            await MoveAsync(step, reader, gate, sink, attempt, stop).ConfigureAwait(false);
            if (gate.BadRows.Count == 0)
            {
                sink.Note(ExportJson.Write(gate.Complete(new SliceReceipt { Slice = slice.Number, Rows = gate.Rows, Bytes = 0 })));
            }

            var receipt = gate.Complete(await sink.CommitAsync(stop.Token).ConfigureAwait(false));
            if (receipt.Rows + receipt.QuarantinedRows != gate.Rows)
            {
                throw new InvalidDataException(
                    $"Slice {slice.Number}: {gate.Rows} rows were read, {receipt.Rows} written and {receipt.QuarantinedRows} put aside.");
            }

            await CheckSizeAsync(work, slice, receipt, stop.Token).ConfigureAwait(false);
            await CommitAsync(step, work, attempt, receipt, reader.BytesRead, gate.BadRows).ConfigureAwait(false);
            return receipt;
        }
        catch (Exception error) when (slow.IsCancellationRequested && !step.CancellationToken.IsCancellationRequested)
        {
            throw new SliceTooLargeException($"an attempt takes longer than max_slice_time ({settings.MaxSliceTime}): {error.Message}");
        }
    }

    // Its halves are smaller; of a single row nothing is.
    private async Task CheckSizeAsync(RunWork work, Slice slice, SliceReceipt receipt, CancellationToken cancellationToken)
    {
        if (receipt.Bytes > work.Order.Export.Settings.MaxFileBytes && receipt.Rows > 1 && !work.InPieces
            && await splitter.CanSplitAsync(work, slice, cancellationToken).ConfigureAwait(false))
        {
            throw new SliceTooLargeException($"its file has {receipt.Bytes:N0} bytes, more than max_file_bytes");
        }
    }

    // The receipt becomes the checkpoint in the transaction that writes it down, with the rows that were put aside. What an earlier attempt had
    // sent and is found to be committed is not sent again.
    private async Task CommitAsync(
        IStepContext step, RunWork work, SliceAttempt attempt, SliceReceipt receipt, long sourceBytes, IReadOnlyList<BadRow> badRows, AttemptId? by = null)
    {
        await step.CommitAsync(new SliceOutcome(receipt, null), async (transaction, token) =>
        {
            await runs.CommitSliceAsync(transaction, work.RunId, receipt, sourceBytes, step.Attempt, step.FencingToken, token).ConfigureAwait(false);
            await quarantine.ReplaceAsync(transaction, work.RunId, receipt.Slice, badRows, token).ConfigureAwait(false);
            await attempt.CommitAsync(transaction, token).ConfigureAwait(false);
            await (by is null ? Task.CompletedTask : attempts.KeepAsync(transaction, by, token)).ConfigureAwait(false);
        }).ConfigureAwait(false);
        attempt.Committed();
    }

    // That it is to be split is recorded first, since only who holds the run may remove what attempts of the whole have left. Should
    // an old holder do so late, nobody has written there again. A slice of which pieces are delivered is not split: the halves would
    // bring them again.
    private async Task<SliceOutcome?> SplitAsync(
        IStepContext step, RunWork work, Slice slice, SliceAddress address, IDestination destination, Exception cause)
    {
        var halves = await Heartbeats.WhileAsync(
            step, splitter.SplitAsync(work.Order.Export.Model, slice, work.Planned, step.CancellationToken)).ConfigureAwait(false);
        if (halves is null)
        {
            return null;
        }

        step.Log(LogLevel.Warning, $"Slice {slice.Number} is split into {halves[0].Number} and {halves[1].Number}: {ErrorText.Scrub(cause.Message)}");
        await step.CommitAsync(new SliceOutcome(null, halves, Splitting: true)).ConfigureAwait(false);
        return await RecordSplitAsync(step, work, slice, address, destination, halves).ConfigureAwait(false);
    }

    private async Task<SliceOutcome> RecordSplitAsync(
        IStepContext step, RunWork work, Slice slice, SliceAddress address, IDestination destination, IReadOnlyList<Slice> halves)
    {
        // The checkpoint says that it is split; nothing that the destination has to say may take its place.
        await destination.DiscardSliceAsync(address with { Progress = null }, step.CancellationToken).ConfigureAwait(false);
        var outcome = new SliceOutcome(null, halves);
        await step.CommitAsync(outcome, (transaction, token) => runs.SplitSliceAsync(
            transaction, work.RunId, slice.Number, halves, token)).ConfigureAwait(false);
        return outcome;
    }

    // ClickHouse may think for long before its first byte, within its own timeout; that is no reason to start again.
    private async Task<SourceReader> OpenAsync(IStepContext step, RunWork work, Slice slice, IDestination destination, CancellationToken stop)
    {
        var order = work.Order;
        var nested = destination.TakesNestedValues && order.Export.Format.Nested == NestedValues.Native;
        var rows = QueryBuilder.Rows(order.Export.Model, work.Columns, slice, keyHash: true, nested: nested);
        var query = work.InPieces ? QueryBuilder.InOrder(rows, order.Export.Model, work.Columns) : rows;
        var (id, comment) = QueryNames.OfSlice(step, order.Export.Name, slice.Number);
        return await Heartbeats.WhileAsync(step, source.ReadAsync(query, id, comment, stop)).ConfigureAwait(false);
    }

    private async Task MoveAsync(IStepContext step, SourceReader reader, RowGate gate, ISliceSink sink, SliceAttempt attempt, CancellationTokenSource stop)
    {
        var batches = Channel.CreateUnbounded<(RecordBatch Batch, long Bytes)>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        var reading = ReadAsync(reader, batches.Writer, stop.Token);
        try
        {
            await foreach (var (batch, bytes) in batches.Reader.ReadAllAsync(stop.Token).ConfigureAwait(false))
            {
                try
                {
                    await gate.WriteAsync(batch, sink, stop.Token).ConfigureAwait(false);
                }
                finally
                {
                    batch.Dispose();
                    memory.Release(bytes);
                }

                step.Heartbeat();
                attempt.Tick();
            }

            await reading.ConfigureAwait(false);
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
