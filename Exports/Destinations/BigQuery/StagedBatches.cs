using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>
/// What the export's columns are in the Parquet files of load jobs: signed numbers, decimals, instants in microseconds, lists without missing
/// elements, and JSON as text. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions.
/// </summary>
internal static class StagedBatches
{
    /// <summary>The number of a row in its slice, for merges: which of two rows came last.</summary>
    public const string RowNumber = "_exporter_row";

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">In the order of the schema.</param>
    /// <param name="schema">As rows come.</param>
    /// <param name="numbered">Whether rows are numbered.</param>
    public static StagedRows Of(IReadOnlyList<BigQueryColumn> columns, Schema schema, bool numbered) => new(
        columns.Select((column, at) =>
        {
            var (type, convert) = Of(column, schema.GetFieldByIndex(at).DataType);
            return (column.Name, type, convert);
        }),
        numbered ? new Field(RowNumber, Int64Type.Default, nullable: false) : null);

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

    // Instants have microseconds and no more.
    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(string name, IArrowType arrow) => (arrow, name) switch
    {
        (TimestampType type, _) => (ConvertedArrays.Instant, array => ConvertedArrays.Microseconds((TimestampArray)array, type.Unit)),
        (StringType, "BYTES") => (BinaryType.Default, ConvertedArrays.Bytes),
        _ => ConvertedArrays.Wider(arrow),
    };
}
