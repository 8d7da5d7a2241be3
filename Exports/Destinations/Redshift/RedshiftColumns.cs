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
internal sealed class RedshiftColumns
{
    /// <summary>The number of a row in its slice, for merges: which of two rows came last.</summary>
    public const string RowNumber = "_exporter_row";

    private readonly bool _numbered;
    private readonly string? _claim;
    private readonly IReadOnlyList<Func<IArrowArray, IArrowArray>?> _conversions;
    private long _rows;

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">Their names and types, in the order of the schema.</param>
    /// <param name="schema">As rows come.</param>
    /// <param name="numbered">Whether rows are numbered.</param>
    /// <param name="provenance">The column that says which commit brought a row, and its value; null when rows do not carry it on the way.</param>
    public RedshiftColumns(IReadOnlyList<RedshiftColumn> columns, Schema schema, bool numbered, (string Column, string Claim)? provenance)
    {
        (_numbered, _claim) = (numbered, provenance?.Claim);
        var staged = columns.Select((column, at) => Of(column, schema.GetFieldByIndex(at).DataType)).ToList();
        _conversions = [.. staged.Select(pair => pair.Convert)];
        var fields = columns.Select((column, at) => new Field(column.Name, staged[at].Type, nullable: true)).ToList();
        if (numbered)
        {
            fields.Add(new Field(RowNumber, Int64Type.Default, nullable: true));
        }

        if (provenance is { } carried)
        {
            fields.Add(new Field(carried.Column, StringType.Default, nullable: true));
        }

        Schema = new Schema(fields, null);
    }

    /// <summary>As rows are staged.</summary>
    public Schema Schema { get; }

    /// <summary>Rows as they are staged; good as long as the batch is.</summary>
    public RecordBatch Convert(RecordBatch batch)
    {
        var arrays = _conversions.Select((convert, at) => convert is null ? batch.Column(at) : convert(batch.Column(at))).ToList();
        if (_numbered)
        {
            arrays.Add(ConvertedArrays.Longs(batch.Length, row => _rows + row, _ => false));
        }

        if (_claim is not null)
        {
            arrays.Add(new StringArray.Builder().AppendRange(Enumerable.Repeat(_claim, batch.Length)).Build());
        }

        _rows += batch.Length;
        return new RecordBatch(Schema, arrays, batch.Length);
    }

    private static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Of(RedshiftColumn column, IArrowType arrow) => (arrow, column.Type.Name) switch
    {
        (Int8Type, _) => (Int16Type.Default, array => ConvertedArrays.Shorts((Int8Array)array)),
        (UInt8Type, _) => (Int16Type.Default, array => ConvertedArrays.Shorts((UInt8Array)array)),
        (UInt16Type, _) => (Int32Type.Default, array => ConvertedArrays.Integers((UInt16Array)array)),
        (UInt32Type, _) => (Int64Type.Default, array => ConvertedArrays.Longs((UInt32Array)array)),
        (UInt64Type, _) => (new Decimal128Type(20, 0), array => ConvertedArrays.Decimals((UInt64Array)array)),
        (HalfFloatType, _) => (FloatType.Default, array => ConvertedArrays.Floats((HalfFloatArray)array)),
        (Decimal128Type, "VARCHAR") => (StringType.Default, array => ConvertedArrays.Texts(array, row => ((Decimal128Array)array).GetString(row))),
        (TimestampType { Unit: TimeUnit.Microsecond } type, _) when type.Timezone is not null => (arrow, null),
        (TimestampType type, _) => (ConvertedArrays.Instant, array => ConvertedArrays.Microseconds((TimestampArray)array, type.Unit)),
        (StringType, "VARBYTE" or "SUPER") => (BinaryType.Default, array => ConvertedArrays.Bytes(array)),
        (ListType or StructType or MapType, _) => (BinaryType.Default, array => ConvertedArrays.Bytes(ConvertedArrays.JsonTexts(array, column.Name))),
        _ => (arrow, null),
    };
}
