using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>
/// What the export's columns are in staged Parquet files. Snowflake reads no unsigned numbers of 64 bits, wraps up lists in objects of its own,
/// takes bytes that say that they are text for text, and reads instants as its options say.
/// </summary>
internal static class StagedColumns
{
    /// <summary>The number of a row in its slice, for merges: which of two rows came last.</summary>
    public const string RowNumber = "_EXPORTER_ROW";

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">Their names and types in the staging table, in the order of the schema.</param>
    /// <param name="schema">As rows come.</param>
    /// <param name="numbered">Whether rows are numbered.</param>
    public static StagedRows Of(IReadOnlyList<SnowflakeColumn> columns, Schema schema, bool numbered) => new(
        columns.Select((column, at) =>
        {
            var (type, convert) = Of(column, schema.GetFieldByIndex(at).DataType);
            return (column.Name, type, convert);
        }),
        numbered ? new Field(RowNumber, Int64Type.Default, nullable: false) : null);

    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(SnowflakeColumn column, IArrowType arrow) => (arrow, column.Type.Name) switch
    {
        (Decimal128Type, "VARCHAR") => (StringType.Default, array => ConvertedArrays.Texts(array, row => ((Decimal128Array)array).GetString(row))),
        (TimestampType, _) => (Int64Type.Default, array => new Int64Array(new ArrayData(
            Int64Type.Default, array.Length, array.NullCount, array.Offset, array.Data.Buffers))),
        (StringType, "BINARY") => (BinaryType.Default, array => ConvertedArrays.Bytes(array)),
        (ListType or StructType or MapType, _) => (StringType.Default, array => ConvertedArrays.JsonTexts(array, column.Name)),
        _ => ConvertedArrays.Wider(arrow),
    };
}
