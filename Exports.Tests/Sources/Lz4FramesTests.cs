using CsCheck;
using Exporter.Exports.Sources;
using K4os.Compression.LZ4.Streams;

namespace Exporter.Exports.Tests.Sources;

public sealed class Lz4FramesTests
{
    // Text that repeats itself near and far, and noise that is stored as it is.
    private static readonly Gen<byte[]> Bytes = Gen.Select(Gen.Byte.Array[0, 3000], Gen.Int[1, 120], (part, times) =>
        Enumerable.Range(0, times).SelectMany(time => part.Select(value => time % 3 == 0 ? (byte)(value ^ time) : value)).ToArray());

    [Test]
    public void Every_frame_is_what_went_in() => Gen.Select(Bytes, Gen.Bool).Sample(
        (bytes, linked) =>
        {
            var target = new byte[bytes.Length];
            return Lz4Frames.Decode(Frame(bytes, new LZ4EncoderSettings { ChainBlocks = linked, BlockSize = 64 * 1024 }), target) == bytes.Length
                && target.AsSpan().SequenceEqual(bytes);
        },
        iter: 200);

    [Test]
    public void A_frame_that_is_cut_or_does_not_fit_is_an_error_and_never_short() => Bytes.Where(bytes => bytes.Length > 0).Sample(
        bytes =>
        {
            var frame = Frame(bytes, new LZ4EncoderSettings());
            Assert.Throws<InvalidDataException>(() => Lz4Frames.Decode(frame.AsSpan(0, frame.Length - 4), new byte[bytes.Length]));
            Assert.Throws<InvalidDataException>(() => Lz4Frames.Decode(frame, new byte[bytes.Length - 1]));
        },
        iter: 50);

    [Test]
    public void A_frame_with_checksums_is_left_to_who_checks_them() =>
        Assert.That(Lz4Frames.Decode(Frame(new byte[100], new LZ4EncoderSettings { ContentChecksum = true }), new byte[100]), Is.Null);

    private static byte[] Frame(byte[] bytes, LZ4EncoderSettings settings)
    {
        using var frame = new MemoryStream();
        using (var encoder = LZ4Stream.Encode(frame, settings, leaveOpen: true))
        {
            encoder.Write(bytes);
        }

        return frame.ToArray();
    }
}
