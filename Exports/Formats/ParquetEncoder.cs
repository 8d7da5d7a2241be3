using Apache.Arrow;
using Exporter.Exports.Model;
using ParquetSharp;
using ParquetSharp.Arrow;
using ParquetSharp.IO;
using Compression = Exporter.Exports.Model.Compression;

namespace Exporter.Exports.Formats;

/// <summary>Writes one Parquet file. A row group is held in memory, encoded, until it is full.</summary>
internal sealed class ParquetEncoder : IBatchEncoder
{
    // Of wide values the default, 1,024, makes pages many times as large as they should be.
    private const int ValuesBetweenLooks = 128;

    // Gives memory back to the system, where the default pool keeps it: 130 MB less in a worker with four lanes of wide rows.
    private static readonly MemoryPool Memory = MemoryPool.JemallocMemoryPool();

    private readonly WriterProperties properties;
    private readonly ArrowWriterProperties arrow;
    private readonly ManagedOutputStream stream;
    private readonly FileWriter writer;

    public ParquetEncoder(FormatOptions options, Apache.Arrow.Schema schema, Stream output)
    {
        properties = Properties(options);
        // Without Arrow's own schema, ParquetSharp leaves out the schema's metadata too.
        using var builder = new ArrowWriterPropertiesBuilder();
        arrow = builder.StoreSchema().Build();
        stream = new ManagedOutputStream(output, leaveOpen: true);
        writer = new FileWriter(stream, schema, properties, arrow);
    }

    public string FileExtension => ".parquet";

    // The writer cuts at MaxRowGroupLength itself, also inside a batch.
    public void Encode(RecordBatch batch) => writer.WriteBufferedRecordBatch(batch);

    public void Complete() => writer.Close();

    public void Dispose()
    {
        writer.Dispose();
        stream.Dispose();
        arrow.Dispose();
        properties.Dispose();
    }

    private static WriterProperties Properties(FormatOptions options)
    {
        using var builder = new WriterPropertiesBuilder();
        builder.Compression(ToParquet(options.Compression)).MaxRowGroupLength(options.RowGroupRows).DataPagesize(options.PageBytes)
            .WriteBatchSize(ValuesBetweenLooks).MemoryPool(Memory);
        if (options.CompressionLevel is { } level)
        {
            builder.CompressionLevel(level);
        }

        if (!options.Statistics)
        {
            builder.DisableStatistics();
        }

        if (!options.Dictionary)
        {
            builder.DisableDictionary();
        }

        return builder.Build();
    }

    private static ParquetSharp.Compression ToParquet(Compression compression) => compression switch
    {
        Compression.Zstd => ParquetSharp.Compression.Zstd,
        Compression.Gzip => ParquetSharp.Compression.Gzip,
        Compression.Snappy => ParquetSharp.Compression.Snappy,
        // LZ4_RAW in the file, as every reader of today wants it.
        Compression.Lz4 => ParquetSharp.Compression.Lz4,
        Compression.Brotli => ParquetSharp.Compression.Brotli,
        Compression.None => ParquetSharp.Compression.Uncompressed,
        _ => throw new ArgumentOutOfRangeException(nameof(compression), compression, null),
    };
}
