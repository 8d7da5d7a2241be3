using System.Buffers.Binary;
using Apache.Arrow.Compression;
using Apache.Arrow.Ipc;
using K4os.Compression.LZ4;

namespace Exporter.Exports.Sources;

/// <summary>
/// Decompresses what ClickHouse sends: an LZ4 frame for each buffer, block after block into its place. The library's own codec decodes
/// into blocks of its own and copies from there, which took a tenth of a worker's time. Frames that are not as ClickHouse makes
/// them, with checksums or a dictionary, and other compressions are the library's.
/// </summary>
internal sealed class Lz4Frames : ICompressionCodecFactory
{
    private const uint Magic = 0x184D2204;
    private const uint Stored = 0x8000_0000;
    private const int LeastHeader = 7;
    private const int SizeBytes = 8;
    private const byte Version = 0b0100_0000;
    private const byte VersionBits = 0b1100_0000;
    private const byte LinkedOrSized = 0b0010_1000;
    private const int Window = 64 * 1024;
    private readonly CompressionCodecFactory _library = new();

    public ICompressionCodec CreateCodec(CompressionCodecType compressionCodecType) => CreateCodec(compressionCodecType, null);

    public ICompressionCodec CreateCodec(CompressionCodecType compressionCodecType, int? compressionLevel) =>
        compressionCodecType == CompressionCodecType.Lz4Frame
            ? new Codec(_library.CreateCodec(compressionCodecType, compressionLevel))
            : _library.CreateCodec(compressionCodecType, compressionLevel);

    /// <summary>Decodes a frame; null when it is not of the kind that is decoded here.</summary>
    /// <exception cref="InvalidDataException">It is, and it is broken or does not fill the target.</exception>
    internal static int? Decode(ReadOnlySpan<byte> frame, Span<byte> target)
    {
        if (frame.Length < LeastHeader || BinaryPrimitives.ReadUInt32LittleEndian(frame) != Magic
            || (frame[4] & VersionBits) != Version || (frame[4] & ~(VersionBits | LinkedOrSized)) != 0)
        {
            return null;
        }

        var at = LeastHeader + ((frame[4] & SizeBytes) != 0 ? SizeBytes : 0);
        var written = 0;
        while (at + sizeof(uint) <= frame.Length)
        {
            var head = BinaryPrimitives.ReadUInt32LittleEndian(frame[at..]);
            at += sizeof(uint);
            if (head == 0)
            {
                return written;
            }

            var length = (int)(head & ~Stored);
            if (length > frame.Length - at)
            {
                break;
            }

            var block = frame.Slice(at, length);
            at += length;
            if ((head & Stored) != 0)
            {
                if (!block.TryCopyTo(target[written..]))
                {
                    break;
                }

                written += length;
                continue;
            }

            var decoded = LZ4Codec.Decode(block, target[written..], target[Math.Max(0, written - Window)..written]);
            if (decoded < 0)
            {
                break;
            }

            written += decoded;
        }

        throw new InvalidDataException($"An LZ4 frame of {frame.Length} bytes is broken after {written} of {target.Length}.");
    }

    private sealed class Codec(ICompressionCodec library) : ICompressionCodec
    {
        public int Decompress(ReadOnlyMemory<byte> source, Memory<byte> destination) =>
            Decode(source.Span, destination.Span) ?? library.Decompress(source, destination);

        public void Compress(ReadOnlyMemory<byte> source, Stream destination) => library.Compress(source, destination);

        public void Dispose() => library.Dispose();
    }
}
