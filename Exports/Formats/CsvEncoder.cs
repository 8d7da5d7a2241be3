using System.Buffers;
using System.Text;
using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>Writes one record a row, as RFC 4180 says, with its line end of two characters; how values look says <see cref="CsvCells"/>.</summary>
internal sealed class CsvEncoder : IBatchEncoder
{
    private readonly CsvCells fields;
    private readonly TextOutput output;
    private readonly byte delimiter;
    private readonly int columns;

    public CsvEncoder(FormatOptions options, Schema schema, Stream output)
    {
        FileExtension = EncoderFactory.FileExtension(options);
        columns = schema.FieldsList.Count;
        delimiter = (byte)options.CsvDelimiter[0];
        fields = new CsvCells(options, columns);
        this.output = new TextOutput(options, output);
        if (options.CsvHeader)
        {
            CsvCell[] names = [.. schema.FieldsList.Select(field => Encoding.UTF8.GetBytes(field.Name)).Select(name => (CsvCell)((line, _) => fields.WriteText(line, name)))];
            WriteRow(names, 0);
        }
    }

    public string FileExtension { get; }

    public void Encode(RecordBatch batch)
    {
        var cells = new CsvCell[columns];
        for (var column = 0; column < columns; column++)
        {
            cells[column] = fields.Of(batch.Column(column), batch.Schema.GetFieldByIndex(column).Name);
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
        fields.Dispose();
        output.Dispose();
    }

    private void WriteRow(CsvCell[] cells, int row)
    {
        for (var column = 0; column < cells.Length; column++)
        {
            if (column > 0)
            {
                output.Lines.Write([delimiter]);
            }

            cells[column](output.Lines, row);
        }

        output.Lines.Write("\r\n"u8);
    }
}
