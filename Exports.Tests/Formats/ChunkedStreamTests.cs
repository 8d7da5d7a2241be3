using System.Security.Cryptography;
using CsCheck;
using Exporter.Exports.Formats;

namespace Exporter.Exports.Tests.Formats;

internal sealed class ChunkedStreamTests
{
    private const int Chunk = ChunkedStream.ChunkBytes;
    private static readonly int[] Sizes = [0, 1, 1000, Chunk - 1, Chunk, Chunk + 1, (3 * Chunk) + 17];

    [Test]
    public void Every_byte_written_is_taken_once_in_order_however_writes_and_takes_are_cut()
    {
        var step = Gen.Select(Gen.Bool, Gen.Int[0, Sizes.Length - 1]);
        step.Array[1, 20].Sample(
            steps =>
            {
                using var stream = new ChunkedStream();
                using var written = new MemoryStream();
                using var taken = new MemoryStream();
                var random = new Random(steps.Length);
                foreach (var (write, which) in steps)
                {
                    var size = Sizes[which];
                    if (write)
                    {
                        var bytes = new byte[size];
                        random.NextBytes(bytes);
                        stream.Write(bytes);
                        written.Write(bytes);
                    }
                    else
                    {
                        using var part = stream.Take(Math.Min(size, stream.Buffered));
                        using var reader = part.OpenRead();
                        reader.CopyTo(taken);
                        reader.Position = 0;
                        Assert.That(reader.Length, Is.EqualTo(part.Length));
                    }
                }

                using var rest = stream.TakeAll();
                using var last = rest.OpenRead();
                last.CopyTo(taken);
                Assert.That(taken.ToArray().AsSpan().SequenceEqual(written.ToArray()), Is.True);
                Assert.That(stream.Sha256(), Is.EqualTo(Convert.ToHexStringLower(SHA256.HashData(written.ToArray()))));
                Assert.That(stream.Length, Is.EqualTo(written.Length));
            },
            iter: 100,
            threads: 1);
    }

    [Test]
    public async Task Taken_bytes_can_be_copied_and_read_again_after_more_was_written()
    {
        using var stream = new ChunkedStream();
        var bytes = new byte[(2 * Chunk) + 5];
        new Random(1).NextBytes(bytes);
        stream.Write(bytes);
        using var taken = stream.Take(Chunk + 3);
        stream.Write(new byte[Chunk]);
        using var copy = new MemoryStream();
        await taken.CopyToAsync(copy, CancellationToken.None);
        await using var reader = taken.OpenRead();
        reader.Seek(-3, SeekOrigin.End);
        var end = new byte[3];
        await reader.ReadExactlyAsync(end);
        Assert.That(copy.ToArray().AsSpan().SequenceEqual(bytes.AsSpan(0, Chunk + 3)), Is.True);
        Assert.That(end, Is.EqualTo(bytes[Chunk..(Chunk + 3)]));
    }
}
