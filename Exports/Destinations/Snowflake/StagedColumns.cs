using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// What the export's columns are in staged Parquet files. Snowflake reads no unsigned numbers of 64 bits, wraps up lists in objects of its own,
/// takes bytes that say that they are text for text, and reads instants as its options say.
/// </summary>
internal sealed class StagedColumns
{
    /// <summary>The number of a row in its slice, for merges: which of two rows came last.</summary>
    public const string RowNumber = "_EXPORTER_ROW";

    private readonly bool _numbered;
    private readonly IReadOnlyList<Func<IArrowArray, IArrowArray>?> _conversions;
    private long _rows;

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">Their names and types in the staging table, in the order of the schema.</param>
    /// <param name="schema">As rows come.</param>
    /// <param name="numbered">Whether rows are numbered.</param>
    public StagedColumns(IReadOnlyList<SnowflakeColumn> columns, Schema schema, bool numbered)
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

    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(SnowflakeColumn column, IArrowType arrow) => (arrow, column.Type.Name) switch
    {
        (Int8Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((Int8Array)array)),
        (Int16Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((Int16Array)array)),
        (UInt8Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt8Array)array)),
        (UInt16Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt16Array)array)),
        (UInt32Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt32Array)array)),
        (UInt64Type, _) => (new Decimal128Type(20, 0), array => ConvertedArrays.Decimals((UInt64Array)array)),
        (HalfFloatType, _) => (FloatType.Default, array => ConvertedArrays.Floats((HalfFloatArray)array)),
        (Decimal128Type, "VARCHAR") => (StringType.Default, array => ConvertedArrays.Texts(array, row => ((Decimal128Array)array).GetString(row))),
        (TimestampType, _) => (Int64Type.Default, array => new Int64Array(new ArrayData(
            Int64Type.Default, array.Length, array.NullCount, array.Offset, array.Data.Buffers))),
        (StringType, "BINARY") => (BinaryType.Default, array => ConvertedArrays.Bytes(array)),
        (ListType or StructType or MapType, _) => (StringType.Default, array => ConvertedArrays.JsonTexts(array, column.Name)),
        _ => (arrow, null),
    };
}
