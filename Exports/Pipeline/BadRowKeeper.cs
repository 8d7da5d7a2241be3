using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using Apache.Arrow;
using Exporter.Exports.Destinations;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Pipeline;

/// <summary>Takes bad values out of batches, and keeps the rows that are put aside until their slice is committed.</summary>
internal sealed class BadRowKeeper(BatchExport export, Schema schema)
{
    // They are kept in memory, and stored in one transaction.
    private const long MostBytes = 64L << 20;

    private readonly List<BadRow> _rows = [];
    private long _bytes;

    /// <summary>Rows that were put aside.</summary>
    public IReadOnlyList<BadRow> Rows => _rows;

    /// <summary>Values that were set to null.</summary>
    public long Nulled { get; private set; }

    /// <summary>Why a run has to stop at a value.</summary>
    public UserErrorException Refusal(ulong keyHash, BadCell cell) => new(
        "bad_rows",
        string.Create(
            CultureInfo.InvariantCulture,
            $"The destination cannot hold a value of the column {schema.GetFieldByIndex(cell.Column).Name}: {Words(cell.Reason)} (in the row whose key has the hash {keyHash})."),
        "Change the column's expression, or let such rows be put aside (quarantine) or such values become null (null).");

    /// <summary>The batch with null in the place of the bad values.</summary>
    public RecordBatch WithNulls(RecordBatch batch, IReadOnlyList<BadCell> bad)
    {
        var arrays = batch.Arrays.ToArray();
        foreach (var column in bad.GroupBy(cell => cell.Column))
        {
            var name = schema.GetFieldByIndex(column.Key).Name;
            if (export.Model.KeyColumns.Contains(name))
            {
                throw new UserErrorException(
                    "bad_rows",
                    $"The destination cannot hold a value of the key column {name}: {Words(column.First().Reason)}; a key cannot become null.",
                    "Change the column's expression, or let such rows be put aside (quarantine).");
            }

            arrays[column.Key] = WithNulls(arrays[column.Key].Data, column.Select(cell => cell.Row));
            Nulled += column.Count();
        }

        return new RecordBatch(schema, arrays, batch.Length);
    }

    /// <summary>Keeps the rows of bad values, each with the first reason.</summary>
    public void Keep(RecordBatch batch, ReadOnlySpan<ulong> hashes, IReadOnlyList<BadCell> bad)
    {
        foreach (var cell in bad.DistinctBy(cell => cell.Row))
        {
            var row = new BadRow(schema.GetFieldByIndex(cell.Column).Name, cell.Reason, hashes[cell.Row], Json(batch, cell.Row));
            _bytes += row.Json.Length;
            if (_rows.Count >= export.Settings.MaxBadRows || _bytes > MostBytes)
            {
                throw new UserErrorException(
                    "max_bad_rows",
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"A slice has more than {_rows.Count:N0} rows that the destination cannot hold; the latest has in {row.Column} {Words(row.Reason)}."),
                    "Change the column's expression, or allow more of them.");
            }

            _rows.Add(row);
        }
    }

    private static string Words(BadReason reason) => reason switch
    {
        BadReason.ZeroByte => "text with a zero byte",
        BadReason.InvalidText => "text that is no UTF-8",
        BadReason.TooLong => "a value that is too long",
        BadReason.OutOfRange => "a value out of range",
        BadReason.NotFinite => "NaN or an infinity",
        BadReason.JsonTooDeep => "JSON that is nested too deep",
        BadReason.JsonZeroByte => "JSON with \\u0000",
        BadReason.JsonUnpairedSurrogate => "JSON with half a pair of surrogates",
        _ => "text that is no JSON",
    };

    // Text that is no UTF-8 cannot stand in JSON; it is {"base64": ...}.
    private byte[] Json(RecordBatch batch, int row)
    {
        using var output = new MemoryStream();
        using var writer = new Utf8JsonWriter(output);
        writer.WriteStartObject();
        for (var column = 0; column < schema.FieldsList.Count; column++)
        {
            writer.WritePropertyName(schema.GetFieldByIndex(column).Name);
            if (batch.Column(column) is StringArray texts && texts.IsValid(row) && !Utf8.IsValid(texts.GetBytes(row)))
            {
                writer.WriteStartObject();
                writer.WriteBase64String("base64", texts.GetBytes(row));
                writer.WriteEndObject();
            }
            else
            {
                JsonCells.Of(batch.Column(column), schema.GetFieldByIndex(column).Name)(writer, row);
            }
        }

        writer.WriteEndObject();
        writer.Flush();
        return output.ToArray();
    }

    // The same buffers under another bitmap of what is there.
    private static IArrowArray WithNulls(ArrayData data, IEnumerable<int> rows)
    {
        var bits = new byte[(data.Offset + data.Length + 7) / 8];
        if (data.Buffers[0].Length == 0)
        {
            bits.AsSpan().Fill(0xFF);
        }
        else
        {
            data.Buffers[0].Span[..bits.Length].CopyTo(bits);
        }

        foreach (var row in rows)
        {
            bits[(data.Offset + row) / 8] &= (byte)~(1 << ((data.Offset + row) % 8));
        }

        var nulls = Enumerable.Range(data.Offset, data.Length).Count(row => (bits[row / 8] & (1 << (row % 8))) == 0);
        return ArrowArrayFactory.BuildArray(new ArrayData(
            data.DataType, data.Length, nulls, data.Offset, [new ArrowBuffer(bits), .. data.Buffers.Skip(1)], data.Children, data.Dictionary));
    }
}
