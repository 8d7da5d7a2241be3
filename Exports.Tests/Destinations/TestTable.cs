using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Tests.Destinations;

/// <summary>Rows of columns that a test names: numbers, texts, flags.</summary>
internal sealed class TestTable(params string[] columns)
{
    public Schema Schema { get; } = new([.. columns.Select(column => new Field(Name(column), TypeOf(column), nullable: true))], null);

    /// <summary>A batch; each row has a value for each column.</summary>
    public RecordBatch Batch(params object?[][] rows) =>
        new(Schema, columns.Select((column, at) => ArrayOf(TypeOf(column), rows.Select(row => row[at]))), rows.Length);

    private static string Name(string column) => column.Split(':')[0];

    private static IArrowType TypeOf(string column) => column.Split(':') switch
    {
        [_, "text"] => StringType.Default,
        [_, "flag"] => BooleanType.Default,
        [_, "uint8"] => UInt8Type.Default,
        [_, "int32"] => Int32Type.Default,
        [_, "instant"] => new TimestampType(TimeUnit.Microsecond, "UTC"),
        _ => Int64Type.Default,
    };

    private static IArrowArray ArrayOf(IArrowType type, IEnumerable<object?> values) => type switch
    {
        StringType => new StringArray.Builder().AppendRange(values.Cast<string?>()).Build(),
        BooleanType => new BooleanArray.Builder().AppendRange(values.Cast<bool>()).Build(),
        UInt8Type => new UInt8Array.Builder().AppendRange(values.Select(value => Convert.ToByte(value, null))).Build(),
        Int32Type => new Int32Array.Builder().AppendRange(values.Select(value => Convert.ToInt32(value, null))).Build(),
        TimestampType instant => new TimestampArray.Builder(instant).AppendRange(values.Cast<DateTimeOffset>()).Build(),
        _ => Longs(values),
    };

    private static Int64Array Longs(IEnumerable<object?> values)
    {
        var longs = new Int64Array.Builder();
        foreach (var value in values)
        {
            if (value is null)
            {
                longs.AppendNull();
            }
            else
            {
                longs.Append(Convert.ToInt64(value, null));
            }
        }

        return longs.Build();
    }
}
