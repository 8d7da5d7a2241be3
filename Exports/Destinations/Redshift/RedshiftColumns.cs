using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>A column of the export in the table that it goes to.</summary>
/// <param name="Name">Its name there.</param>
/// <param name="Type">Its type on the way: that of the staging table.</param>
/// <param name="Target">Its type in the table.</param>
/// <param name="IsNullable">Whether the export may have no value there.</param>
internal sealed record RedshiftColumn(string Name, RedshiftType Type, RedshiftType Target, bool IsNullable)
{
    /// <summary>Whether its values can be loaded into the table itself: COPY converts nothing.</summary>
    public bool IsDirect => !Type.IsJson && Type.Name == Target.Name && (Type.Name != "DECIMAL" || Type == Target);
}

/// <summary>
/// What the export's columns are on their way. COPY compares a file's types with the table's and has no unsigned ones; instants are microseconds.
/// </summary>
internal static class RedshiftColumns
{
    /// <summary>The number of a row in its slice, for merges: which of two rows came last.</summary>
    public const string RowNumber = "_exporter_row";

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">Their names and types, in the order of the schema.</param>
    /// <param name="schema">As rows come.</param>
    /// <param name="numbered">Whether rows are numbered.</param>
    /// <param name="provenance">The column that says which commit brought a row, and its value; null when rows do not carry it on the way.</param>
    public static StagedRows Of(IReadOnlyList<RedshiftColumn> columns, Schema schema, bool numbered, (string Column, string Claim)? provenance) => new(
        columns.Select((column, at) =>
        {
            var (type, convert) = Of(column, schema.GetFieldByIndex(at).DataType);
            return (column.Name, type, convert);
        }),
        numbered ? new Field(RowNumber, Int64Type.Default, nullable: true) : null,
        provenance is var (carried, claim) ? (new Field(carried, StringType.Default, nullable: true), claim) : null);

    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(RedshiftColumn column, IArrowType arrow) => (arrow, column.Type.Name) switch
    {
        (Int8Type, _) => (Int16Type.Default, array => ConvertedArrays.Shorts((Int8Array)array)),
        (Int16Type, _) => (arrow, null),
        (UInt8Type, _) => (Int16Type.Default, array => ConvertedArrays.Shorts((UInt8Array)array)),
        (UInt16Type, _) => (Int32Type.Default, array => ConvertedArrays.Integers((UInt16Array)array)),
        (Decimal128Type, "VARCHAR") => (StringType.Default, array => ConvertedArrays.Texts(array, row => ((Decimal128Array)array).GetString(row))),
        (TimestampType { Unit: TimeUnit.Microsecond } type, _) when type.Timezone is not null => (arrow, null),
        (TimestampType type, _) => (ConvertedArrays.Instant, array => ConvertedArrays.Microseconds((TimestampArray)array, type.Unit)),
        (StringType, "VARBYTE" or "SUPER") => (BinaryType.Default, array => ConvertedArrays.Bytes(array)),
        (ListType or StructType or MapType, _) => (BinaryType.Default, array => ConvertedArrays.Bytes(ConvertedArrays.JsonTexts(array, column.Name))),
        _ => ConvertedArrays.Wider(arrow),
    };
}
