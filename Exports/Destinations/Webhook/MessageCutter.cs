using System.Security.Cryptography;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>
/// Cuts the rows of a slice into messages, by rows and bytes alone: however rows come in batches, the same rows in the same
/// order make the same messages.
/// </summary>
internal sealed class MessageCutter(WebhookOptions options, FormatOptions format, MessageBody body, SliceAddress address, Schema schema) : IDisposable
{
    // The file format of the export says nothing here; how values look in JSON does.
    private readonly FormatOptions _json = new() { Format = FileFormat.JsonLines, Compression = Compression.None, Nested = format.Nested, NonFinite = format.NonFinite };
    private readonly List<ReadOnlyMemory<byte>> _rows = [];
    private readonly MemoryStream _lines = new();
    private long _bytes;
    private int _number;

    /// <summary>Rows so far.</summary>
    public long Rows { get; private set; }

    /// <summary>Bytes of the bodies so far, before compression.</summary>
    public long Bytes { get; private set; }

    /// <summary>The messages that are whole with this batch. It is in memory as JSON, and once more in the messages: give it few rows.</summary>
    public IReadOnlyList<WebhookMessage> Add(RecordBatch batch)
    {
        var whole = new List<WebhookMessage>();
        foreach (var row in Lines(batch))
        {
            if (_rows.Count > 0 && _bytes + row.Length + 1 > options.BatchBytes)
            {
                whole.Add(Cut());
            }

            _rows.Add(row);
            _bytes += row.Length + 1;
            Rows++;
            if (_rows.Count == options.BatchRows)
            {
                whole.Add(Cut());
            }
        }

        return whole;
    }

    /// <summary>The last message, which may be short; null when there is nothing left.</summary>
    public WebhookMessage? Complete() => _rows.Count == 0 ? null : Cut();

    public void Dispose() => _lines.Dispose();

    private List<ReadOnlyMemory<byte>> Lines(RecordBatch batch)
    {
        // What waits for the rest of its message lies in the buffer that is about to be written again.
        for (var row = 0; row < _rows.Count; row++)
        {
            _rows[row] = _rows[row].ToArray();
        }

        _lines.SetLength(0);
        using (var encoder = EncoderFactory.Create(_json, schema, _lines))
        {
            encoder.Encode(batch);
            encoder.Complete();
        }

        var rows = new List<ReadOnlyMemory<byte>>(batch.Length);
        var bytes = _lines.GetBuffer().AsMemory(0, (int)_lines.Length);
        while (bytes.Span.IndexOf((byte)'\n') is var end and >= 0)
        {
            rows.Add(bytes[..end]);
            bytes = bytes[(end + 1)..];
        }

        return rows;
    }

    private WebhookMessage Cut()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var row in _rows)
        {
            hash.AppendData(row.Span);
            hash.AppendData("\n"u8);
        }

        var content = hash.GetHashAndReset();
        var id = WebhookMessage.IdOf(address, _number, content);
        var rendered = body.Render(new MessageParts(address, _number, id, _rows));
        var message = new WebhookMessage { Number = _number, Id = id, Rows = _rows.Count, Content = content, Body = rendered };
        _number++;
        _rows.Clear();
        _bytes = 0;
        Bytes += rendered.Length;
        return message;
    }
}
