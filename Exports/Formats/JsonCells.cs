using System.Buffers;
using System.Text.Json;
using Apache.Arrow;
using Apache.Arrow.Arrays;
using Apache.Arrow.Types;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>Writes the value of one row of one column.</summary>
internal delegate void JsonCell(Utf8JsonWriter writer, int row);

/// <summary>
/// How Arrow values look in JSON. Numbers, also 64-bit ones and decimals, are numbers with every digit; NaN and the infinities,
/// which JSON lacks, are null or texts; instants are RFC 3339 in UTC with the digits of their unit; binary is base64; maps and
/// structs are objects; lists are arrays.
/// </summary>
internal static class JsonCells
{
    /// <summary>Looks at the type once, so that rows need not.</summary>
    /// <exception cref="UserErrorException">JSON Lines cannot hold the type.</exception>
    public static JsonCell Of(IArrowArray array, string column, NonFiniteNumbers nonFinite = NonFiniteNumbers.Null)
    {
        var cell = Value(array, column, nonFinite);
        return array.NullCount == 0 ? cell : (writer, row) =>
        {
            if (array.IsNull(row))
            {
                writer.WriteNullValue();
            }
            else
            {
                cell(writer, row);
            }
        };
    }

    private static JsonCell Value(IArrowArray array, string column, NonFiniteNumbers nonFinite) => array switch
    {
        NullArray => (writer, _) => writer.WriteNullValue(),
        BooleanArray values => (writer, row) => writer.WriteBooleanValue(values.GetValue(row)!.Value),
        Int8Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        Int16Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        Int32Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        Int64Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        UInt8Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        UInt16Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        UInt32Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        UInt64Array values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        HalfFloatArray values => (writer, row) => WriteFloat(writer, (float)values.Values[row], nonFinite),
        FloatArray values => (writer, row) => WriteFloat(writer, values.Values[row], nonFinite),
        DoubleArray values => (writer, row) => WriteDouble(writer, values.Values[row], nonFinite),
        Decimal32Array values => (writer, row) => writer.WriteRawValue(values.GetString(row), skipInputValidation: true),
        Decimal64Array values => (writer, row) => writer.WriteRawValue(values.GetString(row), skipInputValidation: true),
        Decimal128Array values => (writer, row) => writer.WriteRawValue(values.GetString(row), skipInputValidation: true),
        Decimal256Array values => (writer, row) => writer.WriteRawValue(values.GetString(row)!, skipInputValidation: true),
        StringArray values => (writer, row) => writer.WriteStringValue(values.GetBytes(row)),
        BinaryArray values => (writer, row) => writer.WriteBase64StringValue(values.GetBytes(row)),
        FixedSizeBinaryArray values => (writer, row) => writer.WriteBase64StringValue(values.GetBytes(row)),
        Date32Array values => (writer, row) => JsonTime.WriteDate(writer, values.Values[row]),
        Date64Array values => (writer, row) => JsonTime.WriteDate(writer, values.Values[row] / 86_400_000),
        TimestampArray values => Timestamp(values),
        Time32Array values => Time32(values),
        Time64Array values => Time64(values),
        DurationArray values => (writer, row) => writer.WriteNumberValue(values.Values[row]),
        MapArray values => Map(values, column, nonFinite),
        ListArray values => List(values, column, nonFinite),
        StructArray values => Struct(values, column, nonFinite),
        DictionaryArray values => Dictionary(values, column, nonFinite),
        _ => throw Unsupported(array.Data.DataType, column),
    };

    private static void WriteFloat(Utf8JsonWriter writer, float value, NonFiniteNumbers nonFinite)
    {
        if (float.IsFinite(value))
        {
            writer.WriteNumberValue(value);
        }
        else
        {
            WriteNonFinite(writer, value, nonFinite);
        }
    }

    private static void WriteDouble(Utf8JsonWriter writer, double value, NonFiniteNumbers nonFinite)
    {
        if (double.IsFinite(value))
        {
            writer.WriteNumberValue(value);
        }
        else
        {
            WriteNonFinite(writer, value, nonFinite);
        }
    }

    private static void WriteNonFinite(Utf8JsonWriter writer, double value, NonFiniteNumbers nonFinite)
    {
        if (nonFinite == NonFiniteNumbers.Text)
        {
            writer.WriteStringValue(double.IsNaN(value) ? "NaN"u8 : value > 0 ? "Infinity"u8 : "-Infinity"u8);
        }
        else
        {
            writer.WriteNullValue();
        }
    }

    private static JsonCell Timestamp(TimestampArray values)
    {
        var unit = ((TimestampType)values.Data.DataType).Unit;
        return (writer, row) => JsonTime.WriteInstant(writer, values.Values[row], unit);
    }

    private static JsonCell Time32(Time32Array values)
    {
        var unit = ((Time32Type)values.Data.DataType).Unit;
        return (writer, row) => JsonTime.WriteTime(writer, values.Values[row], unit);
    }

    private static JsonCell Time64(Time64Array values)
    {
        var unit = ((Time64Type)values.Data.DataType).Unit;
        return (writer, row) => JsonTime.WriteTime(writer, values.Values[row], unit);
    }

    private static JsonCell List(ListArray values, string column, NonFiniteNumbers nonFinite)
    {
        var item = Of(values.Values, column, nonFinite);
        return (writer, row) =>
        {
            writer.WriteStartArray();
            for (var at = values.ValueOffsets[row]; at < values.ValueOffsets[row + 1]; at++)
            {
                item(writer, at);
            }

            writer.WriteEndArray();
        };
    }

    private static JsonCell Map(MapArray values, string column, NonFiniteNumbers nonFinite)
    {
        var name = MapKey(values.Keys, column);
        var value = Of(values.Values, column, nonFinite);
        return (writer, row) =>
        {
            writer.WriteStartObject();
            for (var at = values.ValueOffsets[row]; at < values.ValueOffsets[row + 1]; at++)
            {
                name(writer, at);
                value(writer, at);
            }

            writer.WriteEndObject();
        };
    }

    // A name is a text: that of the key's value, without the quotes that it may have.
    private static JsonCell MapKey(IArrowArray keys, string column)
    {
        if (keys is StringArray strings)
        {
            return (writer, at) => writer.WritePropertyName(strings.GetBytes(at));
        }

        if (keys is DictionaryArray { Dictionary: StringArray texts } dictionary)
        {
            var index = IndexOf(dictionary.Indices, column);
            return (writer, at) => writer.WritePropertyName(texts.GetBytes(index(at)));
        }

        var cell = Of(keys, column, NonFiniteNumbers.Text);
        var scratch = new ArrayBufferWriter<byte>();
        return (writer, at) =>
        {
            scratch.ResetWrittenCount();
            using (var name = new Utf8JsonWriter(scratch, writer.Options))
            {
                cell(name, at);
            }

            var text = scratch.WrittenSpan;
            writer.WritePropertyName(text[0] == '"' ? text[1..^1] : text);
        };
    }

    private static JsonCell Struct(StructArray values, string column, NonFiniteNumbers nonFinite)
    {
        var type = (StructType)values.Data.DataType;
        var names = type.Fields.Select(field => field.Name).ToArray();
        var cells = values.Fields.Select((field, at) => Of(field, $"{column}.{names[at]}", nonFinite)).ToArray();
        return (writer, row) =>
        {
            writer.WriteStartObject();
            for (var at = 0; at < cells.Length; at++)
            {
                writer.WritePropertyName(names[at]);
                cells[at](writer, row);
            }

            writer.WriteEndObject();
        };
    }

    private static JsonCell Dictionary(DictionaryArray values, string column, NonFiniteNumbers nonFinite)
    {
        var index = IndexOf(values.Indices, column);
        var cell = Of(values.Dictionary, column, nonFinite);
        return (writer, row) => cell(writer, index(row));
    }

    internal static Func<int, int> IndexOf(IArrowArray indices, string column)
    {
        var number = Integers(indices, column);
        return row => (int)number(row);
    }

    private static Func<int, Int128> Integers(IArrowArray numbers, string column) => numbers switch
    {
        Int8Array values => row => values.Values[row],
        Int16Array values => row => values.Values[row],
        Int32Array values => row => values.Values[row],
        Int64Array values => row => values.Values[row],
        UInt8Array values => row => values.Values[row],
        UInt16Array values => row => values.Values[row],
        UInt32Array values => row => values.Values[row],
        UInt64Array values => row => values.Values[row],
        _ => throw Unsupported(numbers.Data.DataType, column),
    };

    private static UserErrorException Unsupported(IArrowType type, string column) => new(
        "format", $"Column \"{column}\" is of the Arrow type {type.Name}, which JSON Lines cannot hold.",
        "Cast it in the column's expression, for instance with toString(), or use Parquet.");
}
