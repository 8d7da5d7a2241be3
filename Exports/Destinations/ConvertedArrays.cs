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
