using System.Buffers;
using System.Text;
using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>Writes the field of one row of one column.</summary>
internal delegate void CsvCell(IBufferWriter<byte> line, int row);

/// <summary>
/// How Arrow values look in CSV: as in JSON, without the quotes of JSON's strings; lists, maps and structs are JSON text; NaN and the
/// infinities are <c>NaN</c>, <c>Infinity</c> and <c>-Infinity</c>. Texts are their bytes. A field stands in quotes only where a reader would
/// take it for something else: NULL has none, so an empty text has.
/// </summary>
internal sealed class CsvCells : IDisposable
{
    private readonly ArrayBufferWriter<byte> scratch = new();
    private readonly Utf8JsonWriter json;
    private readonly SearchValues<byte> special;
    private readonly byte[] nullText;
    private readonly NonFiniteNumbers insideJson;
    private readonly bool emptyLines;

    public CsvCells(FormatOptions options, int columns)
    {
        json = new Utf8JsonWriter(scratch, JsonLinesEncoder.WriterOptions);
        special = SearchValues.Create([(byte)'"', (byte)'\r', (byte)'\n', (byte)options.CsvDelimiter[0]]);
        nullText = Encoding.UTF8.GetBytes(options.CsvNull);
        insideJson = options.NonFinite;
        emptyLines = columns == 1 && nullText.Length == 0;
    }

    /// <summary>Looks at the type once, so that rows need not.</summary>
    /// <exception cref="UserErrorException">CSV cannot hold the type, or not tell its NULL from no line.</exception>
    public CsvCell Of(IArrowArray array, string column)
    {
        var cell = Value(array, column);
        if (array.NullCount == 0)
        {
            return cell;
        }

        if (emptyLines)
        {
            throw new UserErrorException(
                "csv_null",
                $"Column \"{column}\" is the only one and has a NULL, which would be an empty line, and readers skip these.",
                "Set csv_null to a text such as \\N.");
        }

        return (line, row) =>
        {
            if (array.IsNull(row))
            {
                line.Write(nullText);
            }
            else
            {
                cell(line, row);
            }
        };
    }

    /// <summary>Writes a text, in quotes if it needs them.</summary>
    public void WriteText(IBufferWriter<byte> line, ReadOnlySpan<byte> text)
    {
        // Some readers strip spaces that stand outside of quotes.
        var quoted = text.SequenceEqual(nullText) || text.ContainsAny(special) || (!text.IsEmpty && (text[0] is (byte)' ' or (byte)'\t' || text[^1] is (byte)' ' or (byte)'\t'));
        if (!quoted)
        {
            line.Write(text);
            return;
        }

        line.Write("\""u8);
        for (int quote; (quote = text.IndexOf((byte)'"')) >= 0; text = text[(quote + 1)..])
        {
            line.Write(text[..quote]);
            line.Write("\"\""u8);
        }

        line.Write(text);
        line.Write("\""u8);
    }

    public void Dispose() => json.Dispose();

    private CsvCell Value(IArrowArray array, string column)
    {
        switch (array)
        {
            case NullArray:
                return (line, _) => line.Write(nullText);
            case StringArray texts:
                return (line, row) => WriteText(line, texts.GetBytes(row));
            case DictionaryArray values:
                var index = JsonCells.IndexOf(values.Indices, column);
                var item = Of(values.Dictionary, column);
                return (line, row) => item(line, index(row));
            default:
                return OfJson(array, column);
        }
    }

    private CsvCell OfJson(IArrowArray array, string column)
    {
        var nested = array is ListArray or StructArray;
        var cell = JsonCells.Of(array, column, nested ? insideJson : NonFiniteNumbers.Text);
        return (line, row) =>
        {
            scratch.ResetWrittenCount();
            cell(json, row);
            json.Flush();
            json.Reset();
            var text = scratch.WrittenSpan;
            // Numbers, dates, times and base64: nothing in them is escaped.
            WriteText(line, text[0] == '"' ? text[1..^1] : text);
        };
    }
}
