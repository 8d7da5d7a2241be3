using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>Writes one JSON object a row, in the order of the columns, each with its line feed; how values look says <see cref="JsonCells"/>.</summary>
internal sealed class JsonLinesEncoder : IBatchEncoder
{
    // Lines stand in files, not in web pages: only what JSON itself demands is escaped. Validation would check what the code ensures.
    internal static readonly JsonWriterOptions WriterOptions =
        new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private readonly JsonEncodedText[] names;
    private readonly NonFiniteNumbers nonFinite;
    private readonly TextOutput output;
    private readonly Utf8JsonWriter writer;

    public JsonLinesEncoder(FormatOptions options, Schema schema, Stream output)
    {
        FileExtension = EncoderFactory.FileExtension(options);
        names = [.. schema.FieldsList.Select(field => JsonEncodedText.Encode(field.Name, WriterOptions.Encoder))];
        nonFinite = options.NonFinite;
        this.output = new TextOutput(options, output);
        writer = new Utf8JsonWriter(this.output.Lines, WriterOptions);
    }

    public string FileExtension { get; }

    public void Encode(RecordBatch batch)
    {
        var cells = new JsonCell[names.Length];
        for (var column = 0; column < cells.Length; column++)
        {
            cells[column] = JsonCells.Of(batch.Column(column), batch.Schema.GetFieldByIndex(column).Name, nonFinite);
        }

        for (var row = 0; row < batch.Length; row++)
        {
            WriteRow(cells, row);
            output.LineEnded();
        }

        output.Flush();
    }

    public void Complete() => output.Complete();

    public void Dispose()
    {
        writer.Dispose();
        output.Dispose();
    }

    private void WriteRow(JsonCell[] cells, int row)
    {
        writer.WriteStartObject();
        for (var column = 0; column < cells.Length; column++)
        {
            writer.WritePropertyName(names[column]);
            cells[column](writer, row);
        }

        writer.WriteEndObject();
        writer.Flush();
        writer.Reset();
        output.Lines.Write("\n"u8);
    }
}
