using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// What the export's columns are in the Parquet files of load jobs: signed numbers, decimals, instants in microseconds, lists without missing
/// elements, and JSON as text. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions.
/// </summary>
internal sealed class StagedBatches
{
    /// <summary>The number of a row in its slice, for merges: which of two rows came last.</summary>
    public const string RowNumber = "_exporter_row";

    private readonly bool _numbered;
    private readonly IReadOnlyList<Func<IArrowArray, IArrowArray>?> _conversions;
    private long _rows;

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">In the order of the schema.</param>
    /// <param name="schema">As rows come.</param>
    /// <param name="numbered">Whether rows are numbered.</param>
    public StagedBatches(IReadOnlyList<BigQueryColumn> columns, Schema schema, bool numbered)
    {
        _numbered = numbered;
        var staged = columns.Select((column, at) => Of(column, schema.GetFieldByIndex(at).DataType)).ToList();
        _conversions = [.. staged.Select(pair => pair.Convert)];
        var fields = columns.Select((column, at) => new Field(column.Name, staged[at].Type, nullable: true));
        Schema = new Schema(numbered ? fields.Append(new Field(RowNumber, Int64Type.Default, nullable: false)) : fields, null);
    }

    /// <summary>As rows are staged.</summary>
    public Schema Schema { get; }

    /// <summary>Rows as they are staged; good as long as the batch is.</summary>
    public RecordBatch Convert(RecordBatch batch)
    {
        var arrays = _conversions.Select((convert, at) => convert is null ? batch.Column(at) : convert(batch.Column(at)));
        if (_numbered)
        {
            arrays = arrays.Append(ConvertedArrays.Longs(batch.Length, row => _rows + row, _ => false));
        }

        var converted = new RecordBatch(Schema, arrays, batch.Length);
        _rows += batch.Length;
        return converted;
    }

    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(BigQueryColumn column, IArrowType arrow)
    {
        if (!column.Type.IsArray)
        {
            return column.Type.Name == "JSON" && arrow is not StringType
                ? (StringType.Default, array => ConvertedArrays.JsonTexts(array, column.Name))
                : Of(column.Type.Name, arrow);
        }

        var (type, convert) = Of(column.Type.Name, ((ListType)arrow).ValueDataType);
        var list = new ListType(new Field("element", type, nullable: false));
        return (list, Lists);

        ListArray Lists(IArrowArray array)
        {
            var lists = (ListArray)array;
            var values = convert is null ? lists.Values : convert(lists.Values);
            return new ListArray(new ArrayData(list, lists.Length, lists.NullCount, lists.Offset, lists.Data.Buffers, [values.Data]));
        }
    }

    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(string name, IArrowType arrow) => (arrow, name) switch
    {
        (Int8Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((Int8Array)array)),
        (Int16Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((Int16Array)array)),
        (UInt8Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt8Array)array)),
        (UInt16Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt16Array)array)),
        (UInt32Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt32Array)array)),
        (UInt64Type, _) => (new Decimal128Type(20, 0), array => ConvertedArrays.Decimals((UInt64Array)array)),
        (HalfFloatType, _) => (FloatType.Default, array => ConvertedArrays.Floats((HalfFloatArray)array)),
        (TimestampType type, _) => (Micros, type.Unit == TimeUnit.Microsecond ? Retyped : array => Instants((TimestampArray)array, type.Unit)),
        (StringType, "BYTES") => (BinaryType.Default, array => new BinaryArray(new ArrayData(
            BinaryType.Default, array.Length, array.NullCount, array.Offset, array.Data.Buffers))),
        _ => (arrow, null),
    };

    private static TimestampType Micros { get; } = new(TimeUnit.Microsecond, "UTC");

    private static TimestampArray Retyped(IArrowArray array) => new(new ArrayData(Micros, array.Length, array.NullCount, array.Offset, array.Data.Buffers));

    // All that BigQuery has; nanoseconds are cut, towards the past.
    private static TimestampArray Instants(TimestampArray array, TimeUnit unit)
    {
        var values = ConvertedArrays.Longs(
            array.Length,
            row => unit switch
            {
                TimeUnit.Second => checked(array.Values[row] * 1_000_000),
                TimeUnit.Millisecond => checked(array.Values[row] * 1_000),
                _ => (array.Values[row] - ((array.Values[row] % 1_000 + 1_000) % 1_000)) / 1_000,
            },
            array.IsNull);
        return Retyped(values);
    }
}
