using System.Buffers;

namespace Exporter.Exports.Formats;

/// <summary>Bytes taken out of a <see cref="ChunkedStream"/>: may be read several times, until it is disposed of.</summary>
internal sealed class ChunkedBytes(List<byte[]> chunks, long length) : IDisposable
{
    /// <summary>How many bytes.</summary>
    public long Length { get; } = length;

    /// <summary>Writes all bytes to <paramref name="target"/>.</summary>
    public async Task CopyToAsync(Stream target, CancellationToken cancellationToken)
    {
        var left = Length;
        foreach (var chunk in chunks)
        {
            var count = (int)Math.Min(left, ChunkedStream.ChunkBytes);
            await target.WriteAsync(chunk.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
            left -= count;
        }
    }

    /// <summary>A seekable stream over the bytes, as clients that send again need one. Valid until this is disposed of.</summary>
    public Stream OpenRead() => new Reader(chunks, Length);

    public void Dispose()
    {
        foreach (var chunk in chunks)
        {
            ArrayPool<byte>.Shared.Return(chunk);
        }

        chunks.Clear();
    }

    private sealed class Reader(List<byte[]> chunks, long length) : Stream
    {
        private long position;

        public override bool CanRead => true;

        public override bool CanSeek => true;

        public override bool CanWrite => false;

        public override long Length => length;

        public override long Position
        {
            get => position;
            set
            {
                ArgumentOutOfRangeException.ThrowIfNegative(value);
                position = value;
            }
        }

        public override int Read(Span<byte> buffer)
        {
            if (position >= length || buffer.IsEmpty)
            {
                return 0;
            }

            var at = (int)(position % ChunkedStream.ChunkBytes);
            var count = (int)Math.Min(Math.Min(buffer.Length, ChunkedStream.ChunkBytes - at), length - position);
            chunks[(int)(position / ChunkedStream.ChunkBytes)].AsSpan(at, count).CopyTo(buffer);
            position += count;
            return count;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            ValueTask.FromResult(Read(buffer.Span));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            Task.FromResult(Read(buffer.AsSpan(offset, count)));

        public override long Seek(long offset, SeekOrigin origin) => Position = origin switch
        {
            SeekOrigin.Begin => offset,
            SeekOrigin.Current => position + offset,
            _ => length + offset,
        };

        public override void SetLength(long value) => throw new NotSupportedException("Only read.");

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("Only read.");

        public override void Flush()
        {
        }
    }
}
