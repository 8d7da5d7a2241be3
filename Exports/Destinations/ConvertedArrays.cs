using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations;

/// <summary>Arrow's arrays as others that a warehouse's reader of Parquet takes. What is missing stays missing.</summary>
internal static class ConvertedArrays
{
    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Microseconds, in UTC.</summary>
    public static TimestampType Instant { get; } = new(TimeUnit.Microsecond, "UTC");

    /// <summary>Numbers as signed ones of 16 bits.</summary>
    public static Int16Array Shorts<T>(PrimitiveArray<T> values)
        where T : struct, System.Numerics.INumberBase<T>
    {
        var shorts = new Int16Array.Builder().Reserve(values.Length);
        for (var row = 0; row < values.Length; row++)
        {
            shorts.Append(values.IsNull(row) ? null : short.CreateChecked(values.Values[row]));
        }

        return shorts.Build();
    }

    /// <summary>Numbers as signed ones of 32 bits.</summary>
    public static Int32Array Integers<T>(PrimitiveArray<T> values)
        where T : struct, System.Numerics.INumberBase<T>
    {
        var integers = new Int32Array.Builder().Reserve(values.Length);
        for (var row = 0; row < values.Length; row++)
        {
            integers.Append(values.IsNull(row) ? null : int.CreateChecked(values.Values[row]));
        }

        return integers.Build();
    }

    /// <summary>The signed type that holds every number of one that warehouses do not have, and how it becomes that; any other stays as it is.</summary>
    public static (IArrowType Type, Func<IArrowArray, IArrowArray>? Convert) Wider(IArrowType type) => type switch
    {
        Int8Type => (Int64Type.Default, array => Longs((Int8Array)array)),
        Int16Type => (Int64Type.Default, array => Longs((Int16Array)array)),
        UInt8Type => (Int64Type.Default, array => Longs((UInt8Array)array)),
        UInt16Type => (Int64Type.Default, array => Longs((UInt16Array)array)),
        UInt32Type => (Int64Type.Default, array => Longs((UInt32Array)array)),
        UInt64Type => (new Decimal128Type(20, 0), array => Decimals((UInt64Array)array)),
        HalfFloatType => (FloatType.Default, array => Floats((HalfFloatArray)array)),
        _ => (type, null),
    };

    /// <summary>Numbers as signed ones of 64 bits.</summary>
    public static Int64Array Longs<T>(PrimitiveArray<T> values)
        where T : struct, System.Numerics.INumberBase<T> => Longs(values.Length, row => long.CreateChecked(values.Values[row]), values.IsNull);

    /// <summary>Numbers that are computed.</summary>
    public static Int64Array Longs(int length, Func<int, long> value, Func<int, bool> isNull)
    {
        var longs = new Int64Array.Builder().Reserve(length);
        for (var row = 0; row < length; row++)
        {
            if (isNull(row))
            {
                longs.AppendNull();
            }
            else
            {
                longs.Append(value(row));
            }
        }

        return longs.Build();
    }

    /// <summary>Instants in microseconds; what is finer is cut off, towards the past.</summary>
    public static TimestampArray Microseconds(TimestampArray array, TimeUnit unit)
    {
        var values = unit == TimeUnit.Microsecond ? array.Data : Longs(
            array.Length,
            row => unit switch
            {
                TimeUnit.Second => checked(array.Values[row] * 1_000_000),
                TimeUnit.Millisecond => checked(array.Values[row] * 1_000),
                _ => (array.Values[row] - ((array.Values[row] % 1_000 + 1_000) % 1_000)) / 1_000,
            },
            array.IsNull).Data;
        return new TimestampArray(new ArrayData(Instant, values.Length, values.NullCount, values.Offset, values.Buffers));
    }

    /// <summary>The same bytes, which no longer say that they are text.</summary>
    public static BinaryArray Bytes(IArrowArray texts) => new(new ArrayData(BinaryType.Default, texts.Length, texts.NullCount, texts.Offset, texts.Data.Buffers));

    /// <summary>Unsigned numbers of 64 bits as decimals of 20 digits.</summary>
    public static Decimal128Array Decimals(UInt64Array array)
    {
        var decimals = new Decimal128Array.Builder(new Decimal128Type(20, 0)).Reserve(array.Length);
        for (var row = 0; row < array.Length; row++)
        {
            if (array.IsNull(row))
            {
                decimals.AppendNull();
            }
            else
            {
                decimals.Append(array.Values[row]);
            }
        }

        return decimals.Build();
    }

    /// <summary>Floating-point numbers of 16 bits as those of 32.</summary>
    public static FloatArray Floats(HalfFloatArray array)
    {
        var floats = new FloatArray.Builder().Reserve(array.Length);
        for (var row = 0; row < array.Length; row++)
        {
            if (array.IsNull(row))
            {
                floats.AppendNull();
            }
            else
            {
                floats.Append((float)array.Values[row]);
            }
        }

        return floats.Build();
    }

    /// <summary>Values as text.</summary>
    public static StringArray Texts(IArrowArray array, Func<int, string?> text)
    {
        var texts = new StringArray.Builder();
        for (var row = 0; row < array.Length; row++)
        {
            texts.Append(array.IsNull(row) ? null : text(row));
        }

        return texts.Build();
    }

    /// <summary>Values as JSON text.</summary>
    public static StringArray JsonTexts(IArrowArray array, string column)
    {
        var cell = JsonCells.Of(array, column);
        using var bytes = new MemoryStream();
        return Texts(array, row =>
        {
            bytes.SetLength(0);
            using (var writer = new Utf8JsonWriter(bytes, Json))
            {
                cell(writer, row);
            }

            return Encoding.UTF8.GetString(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
        });
    }
}
