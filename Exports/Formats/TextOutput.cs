using System.Buffers;
using System.IO.Compression;
using Exporter.Exports.Model;
using K4os.Compression.LZ4;
using K4os.Compression.LZ4.Streams;
using ZstdSharp;
using Compression = Exporter.Exports.Model.Compression;

namespace Exporter.Exports.Formats;

/// <summary>Lines on their way through a compressor: gathered here, handed on in pieces, so that memory stays bounded.</summary>
internal sealed class TextOutput : IDisposable
{
    private const int FlushBytes = 64 * 1024;
    private const int Lz4Fastest = 1;

    private readonly ArrayBufferWriter<byte> lines = new(2 * FlushBytes);
    private readonly Stream? compressor;
    private readonly Stream output;

    /// <summary>Makes the compressor that the options ask for; <paramref name="output"/> stays open.</summary>
    public TextOutput(FormatOptions options, Stream output)
    {
        compressor = (options.Compression, options.CompressionLevel) switch
        {
            (Compression.Zstd, null) => new CompressionStream(output, leaveOpen: true),
            (Compression.Zstd, { } level) => new CompressionStream(output, level, leaveOpen: true),
            (Compression.Gzip, null) => new GZipStream(output, CompressionLevel.Optimal, leaveOpen: true),
            (Compression.Gzip, { } level) => new GZipStream(output, new ZLibCompressionOptions { CompressionLevel = level }, leaveOpen: true),
            (Compression.Brotli, null) => new BrotliStream(output, CompressionLevel.Optimal, leaveOpen: true),
            (Compression.Brotli, { } level) => new BrotliStream(output, new BrotliCompressionOptions { Quality = level }, leaveOpen: true),
            (Compression.Lz4, var level) => LZ4Stream.Encode(output, Lz4Settings(level ?? Lz4Fastest), leaveOpen: true),
            _ => null,
        };
        this.output = compressor ?? output;
    }

    /// <summary>Where the next line is written; <see cref="LineEnded"/> is called after each.</summary>
    public ArrayBufferWriter<byte> Lines => lines;

    /// <summary>What a compression adds to a file's name.</summary>
    public static string Extension(Compression compression) => compression switch
    {
        Compression.Zstd => ".zst",
        Compression.Gzip => ".gz",
        Compression.Lz4 => ".lz4",
        Compression.Brotli => ".br",
        _ => "",
    };

    /// <summary>Hands the lines on when they are enough.</summary>
    public void LineEnded()
    {
        if (lines.WrittenCount >= FlushBytes)
        {
            Flush();
        }
    }

    /// <summary>Hands the lines on that are there.</summary>
    public void Flush()
    {
        output.Write(lines.WrittenSpan);
        lines.ResetWrittenCount();
    }

    /// <summary>Writes what is left, and the compressor's end.</summary>
    public void Complete()
    {
        Flush();
        compressor?.Dispose();
    }

    public void Dispose() => compressor?.Dispose();

    // The checksum of the content is what a reader can tell a broken file by.
    private static LZ4EncoderSettings Lz4Settings(int level) => new()
    {
        CompressionLevel = level < (int)LZ4Level.L03_HC ? LZ4Level.L00_FAST : (LZ4Level)level,
        ContentChecksum = true,
    };
}
