using System.Text.Encodings.Web;
using System.Text.Json;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Destinations.Staging;

/// <summary>Columns in other types than they came in, for warehouses whose readers of Parquet take fewer.</summary>
internal static class StagedArrays
{
    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Microseconds, in UTC.</summary>
    public static TimestampType Instant { get; } = new(TimeUnit.Microsecond, "UTC");

    public static Int64Array Longs<T>(IArrowArray array, PrimitiveArray<T> values)
        where T : struct, System.Numerics.INumberBase<T> => Longs(array.Length, row => long.CreateChecked(values.Values[row]), array.IsNull);

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

    public static Int16Array Shorts<T>(IArrowArray array, PrimitiveArray<T> values)
        where T : struct, System.Numerics.INumberBase<T>
    {
        var shorts = new Int16Array.Builder().Reserve(array.Length);
        for (var row = 0; row < array.Length; row++)
        {
            shorts.Append(array.IsNull(row) ? null : short.CreateChecked(values.Values[row]));
        }

        return shorts.Build();
    }

    public static Int32Array Integers<T>(IArrowArray array, PrimitiveArray<T> values)
        where T : struct, System.Numerics.INumberBase<T>
    {
        var integers = new Int32Array.Builder().Reserve(array.Length);
        for (var row = 0; row < array.Length; row++)
        {
            integers.Append(array.IsNull(row) ? null : int.CreateChecked(values.Values[row]));
        }

        return integers.Build();
    }

    /// <summary>Instants in microseconds; what is finer is cut off, towards the past.</summary>
    public static TimestampArray Microseconds(TimestampArray array, TimeUnit unit)
    {
        var longs = Longs(
            array.Length,
            row => unit switch
            {
                TimeUnit.Second => array.Values[row] * 1_000_000,
                TimeUnit.Millisecond => array.Values[row] * 1_000,
                TimeUnit.Microsecond => array.Values[row],
                _ => (long)Math.Floor(array.Values[row] / 1_000m),
            },
            array.IsNull);
        return new TimestampArray(new ArrayData(Instant, longs.Length, longs.NullCount, longs.Offset, longs.Data.Buffers));
    }

    /// <summary>The same bytes, which no longer say that they are text.</summary>
    public static BinaryArray Bytes(IArrowArray texts) => new(new ArrayData(BinaryType.Default, texts.Length, texts.NullCount, texts.Offset, texts.Data.Buffers));

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

    public static StringArray Texts(IArrowArray array, Func<int, string?> text)
    {
        var texts = new StringArray.Builder();
        for (var row = 0; row < array.Length; row++)
        {
            texts.Append(array.IsNull(row) ? null : text(row));
        }

        return texts.Build();
    }

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

            return System.Text.Encoding.UTF8.GetString(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
        });
    }
}
