using System.Buffers;
using System.Security.Cryptography;

namespace Exporter.Exports.Formats;

/// <summary>
/// What an encoder writes to: bytes are kept in pooled chunks until the sink takes them, between two calls of the encoder, so
/// that slow asynchronous writes never happen inside a synchronous encoder. Holds what was not taken yet, nothing more.
/// Counts and hashes every byte as it comes. Not safe for use by two threads at once.
/// </summary>
internal sealed class ChunkedStream : Stream
{
    /// <summary>Bytes of a chunk: large enough for few system calls, small enough to be reused at once.</summary>
    internal const int ChunkBytes = 256 * 1024;

    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Queue<byte[]> full = new();
    private byte[]? last;
    private int used;
    private long written;
    private bool disposed;

    /// <summary>Bytes that were written and not taken.</summary>
    public long Buffered => ((long)full.Count * ChunkBytes) + used;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => !disposed;

    /// <summary>All bytes ever written.</summary>
    public override long Length => written;

    public override long Position
    {
        get => written;
        set => throw new NotSupportedException("The stream only grows.");
    }

    /// <summary>SHA-256 of all bytes ever written, hexadecimal, lower case.</summary>
    public string Sha256() => Convert.ToHexStringLower(hash.GetCurrentHash());

    /// <summary>Takes the oldest <paramref name="count"/> bytes out; the taker disposes of them.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer.</exception>
    public ChunkedBytes Take(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Buffered);
        var taken = new List<byte[]>();
        var left = count;
        for (; left >= ChunkBytes && full.Count > 0; left -= ChunkBytes)
        {
            taken.Add(full.Dequeue());
        }

        if (left > 0)
        {
            taken.Add(TakeStart((int)left));
        }

        return new ChunkedBytes(taken, count);
    }

    /// <summary>Takes all that is there.</summary>
    public ChunkedBytes TakeAll() => Take(Buffered);

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        hash.AppendData(buffer);
        written += buffer.Length;
        Append(buffer);
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("The stream is only written to.");

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException("The stream only grows.");

    public override void SetLength(long value) => throw new NotSupportedException("The stream only grows.");

    protected override void Dispose(bool disposing)
    {
        if (disposing && !disposed)
        {
            disposed = true;
            hash.Dispose();
            foreach (var chunk in full)
            {
                ArrayPool<byte>.Shared.Return(chunk);
            }

            full.Clear();
            Return(ref last);
            used = 0;
        }

        base.Dispose(disposing);
    }

    private static void Return(ref byte[]? chunk)
    {
        if (chunk is not null)
        {
            ArrayPool<byte>.Shared.Return(chunk);
            chunk = null;
        }
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            last ??= ArrayPool<byte>.Shared.Rent(ChunkBytes);
            var fits = Math.Min(bytes.Length, ChunkBytes - used);
            bytes[..fits].CopyTo(last.AsSpan(used));
            used += fits;
            bytes = bytes[fits..];
            if (used == ChunkBytes)
            {
                full.Enqueue(last);
                last = null;
                used = 0;
            }
        }
    }

    // A cut through the oldest chunk: its end has to move to the front of a chunk again, and everything behind it with it.
    // Parts are cut rarely and at multiples of the chunk, so this mostly copies the end of the last chunk only.
    private byte[] TakeStart(int count)
    {
        var rest = new Queue<byte[]>(full);
        var restLast = last;
        var restUsed = used;
        full.Clear();
        last = null;
        used = 0;

        var oldest = rest.Count > 0 ? rest.Dequeue() : restLast!;
        var oldestUsed = ReferenceEquals(oldest, restLast) ? restUsed : ChunkBytes;
        Append(oldest.AsSpan(count, oldestUsed - count));
        foreach (var chunk in rest)
        {
            Append(chunk);
            ArrayPool<byte>.Shared.Return(chunk);
        }

        if (restLast is not null && !ReferenceEquals(oldest, restLast))
        {
            Append(restLast.AsSpan(0, restUsed));
            ArrayPool<byte>.Shared.Return(restLast);
        }

        return oldest;
    }
}
