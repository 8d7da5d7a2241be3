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

    private readonly FormatOptions options;
    private readonly Apache.Arrow.Schema schema;
    private readonly ArrowWriterProperties arrow;
    private readonly ManagedOutputStream stream;
    private WriterProperties? properties;
    private FileWriter? writer;

    public ParquetEncoder(FormatOptions options, Apache.Arrow.Schema schema, Stream output)
    {
        this.options = options;
        this.schema = schema;
        // Without Arrow's own schema, ParquetSharp leaves out the schema's metadata too.
        using var builder = new ArrowWriterPropertiesBuilder();
        arrow = builder.StoreSchema().Build();
        stream = new ManagedOutputStream(output, leaveOpen: true);
    }

    public string FileExtension => ".parquet";

    // The writer cuts at MaxRowGroupLength itself, also inside a batch.
    public void Encode(RecordBatch batch) => (writer ?? Begin(batch)).WriteBufferedRecordBatch(batch);

    public void Complete() => (writer ?? Begin(first: null)).Close();

    public void Dispose()
    {
        writer?.Dispose();
        stream.Dispose();
        arrow.Dispose();
        properties?.Dispose();
    }

    private FileWriter Begin(RecordBatch? first)
    {
        properties = Properties(options, options.Dictionary && first is not null ? ParquetDictionaries.Useless(first) : []);
        return writer = new FileWriter(stream, schema, properties, arrow);
    }

    private static WriterProperties Properties(FormatOptions options, IEnumerable<string> withoutDictionary)
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

        foreach (var column in withoutDictionary)
        {
            builder.DisableDictionary(column);
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
