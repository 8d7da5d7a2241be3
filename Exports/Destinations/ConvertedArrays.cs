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
