using System.Buffers;
using System.IO.Compression;
using System.Text.Encodings.Web;
using System.Text.Json;
using Apache.Arrow;
using Exporter.Exports.Model;
using ZstdSharp;
using Compression = Exporter.Exports.Model.Compression;

namespace Exporter.Exports.Formats;

/// <summary>Writes one JSON object a row, in the order of the columns, each with its line feed; how values look says <see cref="JsonCells"/>.</summary>
internal sealed class JsonLinesEncoder : IBatchEncoder
{
    private const int FlushBytes = 64 * 1024;

    // Lines stand in files, not in web pages: only what JSON itself demands is escaped. Validation would check what the code ensures.
    private static readonly JsonWriterOptions WriterOptions =
        new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private readonly ArrayBufferWriter<byte> lines = new(2 * FlushBytes);
    private readonly JsonEncodedText[] names;
    private readonly Utf8JsonWriter writer;
    private readonly Stream? compressor;
    private readonly Stream output;

    public JsonLinesEncoder(FormatOptions options, Schema schema, Stream output)
    {
        FileExtension = EncoderFactory.FileExtension(options);
        names = [.. schema.FieldsList.Select(field => JsonEncodedText.Encode(field.Name, WriterOptions.Encoder))];
        writer = new Utf8JsonWriter(lines, WriterOptions);
        compressor = options.Compression switch
        {
            Compression.Zstd => new CompressionStream(output, leaveOpen: true),
            Compression.Gzip => new GZipStream(output, CompressionLevel.Optimal, leaveOpen: true),
            _ => null,
        };
        this.output = compressor ?? output;
    }

    public string FileExtension { get; }

    public void Encode(RecordBatch batch)
    {
        var cells = new JsonCell[names.Length];
        for (var column = 0; column < cells.Length; column++)
        {
            cells[column] = JsonCells.Of(batch.Column(column), batch.Schema.GetFieldByIndex(column).Name);
        }

        for (var row = 0; row < batch.Length; row++)
        {
            WriteRow(cells, row);
            if (lines.WrittenCount >= FlushBytes)
            {
                FlushLines();
            }
        }

        FlushLines();
    }

    public void Complete()
    {
        FlushLines();
        compressor?.Dispose();
    }

    public void Dispose()
    {
        writer.Dispose();
        compressor?.Dispose();
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
        lines.Write("\n"u8);
    }

    private void FlushLines()
    {
        output.Write(lines.WrittenSpan);
        lines.ResetWrittenCount();
    }
}
