using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// What a slice's rows pass on their way to the destination, in one attempt: the hash of their keys is summed up and left out, and
/// values that the destination cannot hold are handled as the export says.
/// </summary>
internal sealed class RowGate
{
    private readonly int _hashColumn;
    private readonly BadRowFinder _finder;
    private readonly BadRowKeeper _keeper;
    private readonly BadRowPolicy _policy;
    private ulong _read;

    /// <summary>Makes the gate of one attempt.</summary>
    /// <param name="order">What the run is to do.</param>
    /// <param name="source">The columns as they come from the source, the key's hash last.</param>
    /// <param name="destination">Says what it can hold.</param>
    public RowGate(RunOrder order, Schema source, IDestination destination)
    {
        var fields = source.FieldsList;
        _hashColumn = fields.Count - 1;
        if (fields[_hashColumn].Name != QueryBuilder.KeyHash)
        {
            throw new InvalidDataException($"The last column is {fields[_hashColumn].Name} and not {QueryBuilder.KeyHash}.");
        }

        _policy = order.Export.Settings.BadRows;
        _finder = new BadRowFinder([.. fields.SkipLast(1).Select(field => destination.LimitOf(field))]);
        Schema = new Schema(
            [.. fields.SkipLast(1).Select((field, column) => _policy == BadRowPolicy.Null && _finder.Limits[column] is not null ? Nullable(field) : field)],
            source.Metadata);
        _keeper = new BadRowKeeper(order.Export, Schema);
    }

    /// <summary>The columns as they go to the destination.</summary>
    public Schema Schema { get; }

    /// <summary>Rows that were read.</summary>
    public long Rows { get; private set; }

    /// <summary>Rows that were put aside.</summary>
    public IReadOnlyList<BadRow> BadRows => _keeper.Rows;

    /// <summary>Passes a batch on.</summary>
    public async ValueTask WriteAsync(RecordBatch batch, ISliceSink sink, CancellationToken cancellationToken)
    {
        _read = unchecked(_read + Sum(Hashes(batch)));
        Rows += batch.Length;

        // The arrays stay the batch's, which the caller disposes of.
        var passed = new RecordBatch(Schema, batch.Arrays.Take(_hashColumn), batch.Length);
        var bad = _finder.Find(passed);
        if (bad.Count == 0)
        {
            await sink.WriteAsync(passed, cancellationToken).ConfigureAwait(false);
            return;
        }

        switch (_policy)
        {
            case BadRowPolicy.Fail:
                throw _keeper.Refusal(Hashes(batch)[bad[0].Row], bad[0]);
            case BadRowPolicy.Null:
                await sink.WriteAsync(_keeper.WithNulls(passed, bad), cancellationToken).ConfigureAwait(false);
                break;
            default:
                _keeper.Keep(passed, Hashes(batch), bad);
                await WriteOthersAsync(passed, bad, sink, cancellationToken).ConfigureAwait(false);
                break;
        }
    }

    /// <summary>The receipt of the destination, with what the gate knows.</summary>
    public SliceReceipt Complete(SliceReceipt receipt)
    {
        var aside = _keeper.Rows.Aggregate(0UL, (sum, row) => unchecked(sum + row.KeyHash));
        return receipt with
        {
            KeyHash = unchecked(_read - aside),
            QuarantinedRows = _keeper.Rows.Count,
            QuarantinedKeyHash = _keeper.Rows.Count == 0 ? null : aside,
            NulledValues = _keeper.Nulled,
        };
    }

    private static async Task WriteOthersAsync(RecordBatch batch, IReadOnlyList<BadCell> bad, ISliceSink sink, CancellationToken cancellationToken)
    {
        var from = 0;
        foreach (var row in bad.Select(cell => cell.Row).Distinct().Order().Append(batch.Length))
        {
            if (row > from)
            {
                // A view of the same memory.
                await sink.WriteAsync(batch.Slice(from, row - from), cancellationToken).ConfigureAwait(false);
            }

            from = row + 1;
        }
    }

    private ReadOnlySpan<ulong> Hashes(RecordBatch batch) => ((UInt64Array)batch.Column(_hashColumn)).Values;

    private static ulong Sum(ReadOnlySpan<ulong> values)
    {
        var sum = 0UL;
        foreach (var value in values)
        {
            sum = unchecked(sum + value);
        }

        return sum;
    }

    private static Field Nullable(Field field) => new(field.Name, field.DataType, nullable: true, field.Metadata);
}
