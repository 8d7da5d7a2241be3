using System.Buffers.Text;
using System.Net;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Apache.Arrow;
using Apache.Arrow.Arrays;
using Apache.Arrow.Types;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Writes the value of one row of one column, with its length before it.</summary>
internal delegate void CopyCell(CopyBuffer output, int row);

/// <summary>How Arrow values look in PostgreSQL's binary COPY, for a column of a type that takes them: see <see cref="ColumnTypes"/>.</summary>
internal static class CopyCells
{
    private const long MicrosecondsTo2000 = 946_684_800_000_000;
    private const int DaysTo2000 = 10_957;
    private const byte JsonbVersion = 1;

    // PostgreSQL's own limits of timestamptz: 4714-11-24 BC and the end of 294276.
    private const long LeastInstant = -211_813_488_000_000_000;
    private const long EndOfInstants = 9_223_371_331_200_000_000;

    /// <summary>Looks at the types once, so that rows need not.</summary>
    public static CopyCell Of(IArrowArray array, PostgresType type, string column)
    {
        var cell = Value(array, type, column);
        return array.NullCount == 0 ? cell : (output, row) =>
        {
            if (array.IsNull(row))
            {
                output.Int(-1);
            }
            else
            {
                cell(output, row);
            }
        };
    }

    private static CopyCell Value(IArrowArray array, PostgresType type, string column) => array switch
    {
        BooleanArray values => (output, row) => Byte(output, values.GetValue(row)!.Value ? (byte)1 : (byte)0),
        Int8Array values => Integer(values, type),
        Int16Array values => Integer(values, type),
        Int32Array values => Integer(values, type),
        Int64Array values => Integer(values, type),
        UInt8Array values => Integer(values, type),
        UInt16Array values => Integer(values, type),
        UInt32Array values => Integer(values, type),
        UInt64Array values => (output, row) => BinaryNumeric.Write(output, values.Values[row], negative: false, 0),
        HalfFloatArray values => (output, row) => Real(output, (float)values.Values[row]),
        FloatArray values when type.Form == PostgresForm.Double => (output, row) => Double(output, values.Values[row]),
        FloatArray values => (output, row) => Real(output, values.Values[row]),
        DoubleArray values => (output, row) => Double(output, values.Values[row]),
        Decimal32Array values => Decimal(values.ValueBuffer, sizeof(int), values.Offset, values.Scale),
        Decimal64Array values => Decimal(values.ValueBuffer, sizeof(long), values.Offset, values.Scale),
        Decimal128Array values => Decimal(values.ValueBuffer, 16, values.Offset, values.Scale),
        Date32Array values => (output, row) => Int(output, values.Values[row] - DaysTo2000),
        TimestampArray values => Instant(values, column),
        StringArray values => Text(values, type, column),
        FixedSizeBinaryArray values => (output, row) => Sized(output, values.GetBytes(row)),
        BinaryArray values => (output, row) => Sized(output, values.GetBytes(row)),
        ListArray values when type.Form == PostgresForm.Array => List(values, type.Element!, column),
        _ => Json(array, column),
    };

    private static CopyCell Integer<T>(PrimitiveArray<T> values, PostgresType type)
        where T : struct, IBinaryInteger<T> => type.Form switch
        {
            PostgresForm.SmallInt => (output, row) => Short(output, short.CreateChecked(values.Values[row])),
            PostgresForm.Integer => (output, row) => Int(output, int.CreateChecked(values.Values[row])),
            PostgresForm.BigInt => (output, row) => Long(output, long.CreateChecked(values.Values[row])),
            _ => (output, row) => Numeric(output, Int128.CreateChecked(values.Values[row]), 0),
        };

    private static CopyCell Decimal(ArrowBuffer buffer, int width, int offset, int scale) => (output, row) =>
    {
        var bytes = buffer.Span.Slice((offset + row) * width, width);
        Numeric(output, width switch
        {
            sizeof(int) => MemoryMarshal.Read<int>(bytes),
            sizeof(long) => MemoryMarshal.Read<long>(bytes),
            _ => MemoryMarshal.Read<Int128>(bytes),
        }, scale);
    };

    private static CopyCell Instant(TimestampArray values, string column)
    {
        var unit = ((TimestampType)values.Data.DataType).Unit;
        var (times, per) = unit switch
        {
            TimeUnit.Second => (1_000_000L, 1L),
            TimeUnit.Millisecond => (1_000L, 1L),
            TimeUnit.Microsecond => (1L, 1L),
            _ => (1L, 1_000L),
        };
        return (output, row) =>
        {
            var value = values.Values[row];

            // Down to the microsecond before it, also before 1970.
            var micro = per == 1 ? (Int128)value * times : (value / per) - (value % per < 0 ? 1 : 0);
            var since2000 = micro - MicrosecondsTo2000;
            if (since2000 < LeastInstant || since2000 >= EndOfInstants)
            {
                throw Bad(column, "an instant beyond PostgreSQL's, which go from 4713 BC to 294276");
            }

            Long(output, (long)since2000);
        };
    }

    private static CopyCell Text(StringArray values, PostgresType type, string column) => type.Form switch
    {
        PostgresForm.Jsonb => (output, row) => Jsonb(output, values.GetBytes(row)),
        PostgresForm.Uuid => (output, row) => Uuid(output, values.GetBytes(row), column),
        PostgresForm.Inet => (output, row) => Inet(output, values.GetBytes(row), column),
        PostgresForm.Numeric => (output, row) => Numeric(output, values.GetBytes(row), column),
        _ => (output, row) => Sized(output, values.GetBytes(row)),
    };

    private static CopyCell List(ListArray values, PostgresType element, string column)
    {
        var items = values.Values;
        var item = Of(items, element, column);
        return (output, row) =>
        {
            var (from, to) = (values.ValueOffsets[row], values.ValueOffsets[row + 1]);
            var begin = output.BeginLength();
            output.Int(from == to ? 0 : 1);
            output.Int(items.NullCount > 0 ? 1 : 0);
            output.Int(element.Oid);
            if (from < to)
            {
                output.Int(to - from);
                output.Int(1);
            }

            for (var at = from; at < to; at++)
            {
                item(output, at);
            }

            output.EndLength(begin);
        };
    }

    // Arrays of arrays: those of PostgreSQL would have to be rectangles.
    private static CopyCell Json(IArrowArray array, string column)
    {
        var cell = JsonCells.Of(array, column);
        var text = new System.Buffers.ArrayBufferWriter<byte>();
        var writer = new Utf8JsonWriter(text);
        return (output, row) =>
        {
            cell(writer, row);
            writer.Flush();
            Jsonb(output, text.WrittenSpan);
            text.ResetWrittenCount();
            writer.Reset();
        };
    }

    private static void Numeric(CopyBuffer output, Int128 value, int scale) =>
        BinaryNumeric.Write(output, value < 0 ? (UInt128)(-value) : (UInt128)value, value < 0, scale);

    private static void Numeric(CopyBuffer output, ReadOnlySpan<byte> text, string column)
    {
        if (!BinaryNumeric.TryWrite(output, text))
        {
            throw Bad(column, "a text that is no number");
        }
    }

    private static void Jsonb(CopyBuffer output, ReadOnlySpan<byte> text)
    {
        output.Int(text.Length + 1);
        output.Take(1)[0] = JsonbVersion;
        output.Bytes(text);
    }

    private static void Uuid(CopyBuffer output, ReadOnlySpan<byte> text, string column)
    {
        if (!Utf8Parser.TryParse(text, out Guid value, out var read) || read != text.Length)
        {
            throw Bad(column, "a text that is no UUID");
        }

        output.Int(16);
        value.TryWriteBytes(output.Take(16), bigEndian: true, out _);
    }

    // The family, the bits of the network, whether it is a network, and the bytes.
    private static void Inet(CopyBuffer output, ReadOnlySpan<byte> text, string column)
    {
        if (!IPAddress.TryParse(Encoding.UTF8.GetString(text), out var parsed))
        {
            throw Bad(column, "a text that is no IP address");
        }

        var address = parsed.GetAddressBytes();
        var isShort = address.Length == 4;
        output.Int(4 + address.Length);
        output.Bytes([isShort ? (byte)2 : (byte)3, isShort ? (byte)32 : (byte)128, 0, (byte)address.Length]);
        output.Bytes(address);
    }

    private static void Byte(CopyBuffer output, byte value)
    {
        output.Int(1);
        output.Take(1)[0] = value;
    }

    private static void Short(CopyBuffer output, short value)
    {
        output.Int(2);
        output.Short(value);
    }

    private static void Int(CopyBuffer output, int value)
    {
        output.Int(4);
        output.Int(value);
    }

    private static void Long(CopyBuffer output, long value)
    {
        output.Int(8);
        output.Long(value);
    }

    private static void Real(CopyBuffer output, float value) => Int(output, BitConverter.SingleToInt32Bits(value));

    private static void Double(CopyBuffer output, double value) => Long(output, BitConverter.DoubleToInt64Bits(value));

    private static void Sized(CopyBuffer output, ReadOnlySpan<byte> bytes)
    {
        output.Int(bytes.Length);
        output.Bytes(bytes);
    }

    // Without the value: it may be a secret, and errors are logged.
    private static UserErrorException Bad(string column, string what) => new(
        "columns", $"Column \"{column}\" has {what}.", "Change the column's expression, or the type of the column in PostgreSQL.");
}
