using Apache.Arrow;
using Apache.Arrow.Compression;
using Apache.Arrow.Ipc;
using Exporter.Exports.Model;

namespace Exporter.Exports.Formats;

/// <summary>Writes one file of Arrow's IPC file format: the batches as they are, each buffer compressed by itself, and a footer that finds them.</summary>
internal sealed class ArrowEncoder : IBatchEncoder
{
    private readonly ArrowFileWriter writer;

    public ArrowEncoder(FormatOptions options, Schema schema, Stream output)
    {
        writer = new ArrowFileWriter(new ForwardStream(output), schema, leaveOpen: true, new IpcOptions
        {
            CompressionCodec = options.Compression switch
            {
                Compression.Zstd => CompressionCodecType.Zstd,
                Compression.Lz4 => CompressionCodecType.Lz4Frame,
                _ => null,
            },
            CompressionCodecFactory = new CompressionCodecFactory(),
            CompressionLevel = options.CompressionLevel,
        });
        writer.WriteStart();
    }

    public string FileExtension => ".arrow";

    public void Encode(RecordBatch batch) => writer.WriteRecordBatch(batch);

    public void Complete() => writer.WriteEnd();

    public void Dispose() => writer.Dispose();
}
