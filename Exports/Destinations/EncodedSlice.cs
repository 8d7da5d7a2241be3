using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>A slice on its way into one file: batches in, bytes out, counted. Encoding is work, so it runs on the thread pool.</summary>
internal sealed class EncodedSlice : IDisposable
{
    private readonly IBatchEncoder _encoder;

    public EncodedSlice(FormatOptions format, Schema schema) => _encoder = EncoderFactory.Create(format, schema, Output);

    /// <summary>What came out and was not taken yet.</summary>
    public ChunkedStream Output { get; } = new();

    /// <summary>Rows so far.</summary>
    public long Rows { get; private set; }

    public async Task EncodeAsync(RecordBatch batch, CancellationToken cancellationToken)
    {
        await Task.Run(() => _encoder.Encode(batch), cancellationToken).ConfigureAwait(false);
        Rows += batch.Length;
    }

    /// <summary>Writes the file's end.</summary>
    public Task CompleteAsync(CancellationToken cancellationToken) => Task.Run(_encoder.Complete, cancellationToken);

    /// <summary>What was written, under its key.</summary>
    public SliceReceipt Receipt(int slice, string key) => new()
    {
        Slice = slice,
        Rows = Rows,
        Bytes = Output.Length,
        File = key,
        Sha256 = Output.Sha256(),
    };

    public static SliceReceipt EmptyReceipt(int slice) => new() { Slice = slice, Rows = 0, Bytes = 0 };

    public void Dispose()
    {
        _encoder.Dispose();
        Output.Dispose();
    }
}
