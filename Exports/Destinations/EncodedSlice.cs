using System.Globalization;
using Apache.Arrow;
using Exporter.Exports.Formats;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>A slice on its way into one file: batches in, bytes out, counted. Encoding is work, so it runs on the thread pool.</summary>
internal sealed class EncodedSlice : IDisposable
{
    private readonly IBatchEncoder _encoder;

    /// <summary>Begins a file.</summary>
    /// <param name="format">Its format.</param>
    /// <param name="schema">Its columns.</param>
    /// <param name="address">Which slice it is, for files that have a place to say so; an attempt is not named, so that a repeat has the same bytes.</param>
    public EncodedSlice(FormatOptions format, Schema schema, SliceAddress? address = null) =>
        _encoder = EncoderFactory.Create(format, address is null ? schema : Described(schema, address), Output);

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

    private static Schema Described(Schema schema, SliceAddress address) => new(schema.FieldsList, new Dictionary<string, string>
    {
        ["exporter.export"] = address.Export,
        ["exporter.interval_start"] = Instant(address.Interval.Start),
        ["exporter.interval_end"] = Instant(address.Interval.End),
        ["exporter.slice"] = address.Slice.ToString(CultureInfo.InvariantCulture),
    });

    private static string Instant(DateTimeOffset value) => value.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.FFFFFFFZ", CultureInfo.InvariantCulture);

    public void Dispose()
    {
        _encoder.Dispose();
        Output.Dispose();
    }
}
