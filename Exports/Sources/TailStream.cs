using System.Text;

namespace Exporter.Exports.Sources;

/// <summary>
/// A response as it is read: counts its bytes, gives up when none come, and remembers the last of them, where ClickHouse writes
/// the error when a query fails after its first rows have left.
/// </summary>
/// <param name="inner">The response.</param>
/// <param name="idleTimeout">How long nothing may come.</param>
/// <param name="time">The clock.</param>
/// <param name="closed">Called when it is disposed of.</param>
internal sealed class TailStream(Stream inner, TimeSpan idleTimeout, TimeProvider time, Action? closed = null) : Stream
{
    private const int Kept = 16 * 1024;

    // A ring of the last bytes.
    private readonly byte[] _ring = new byte[Kept];

    /// <summary>Bytes read, as they came over the wire.</summary>
    public long BytesRead { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => BytesRead;
        set => throw new NotSupportedException();
    }

    /// <summary>The last bytes, at most <paramref name="most"/>.</summary>
    public byte[] Tail(int most)
    {
        var count = (int)Math.Min(Math.Min(most, Kept), BytesRead);
        var tail = new byte[count];
        for (var i = 0; i < count; i++)
        {
            tail[i] = _ring[(BytesRead - count + i) % Kept];
        }

        return tail;
    }

    /// <summary>The last bytes as text.</summary>
    public string TailText() => Encoding.UTF8.GetString(Tail(Kept));

    /// <summary>Reads and drops what is left.</summary>
    public async Task DrainAsync(CancellationToken cancellationToken)
    {
        var buffer = new byte[Kept];
        while (await ReadAsync(buffer, cancellationToken).ConfigureAwait(false) > 0)
        {
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        using var idle = new CancellationTokenSource(idleTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, idle.Token);
        int count;
        try
        {
            count = await inner.ReadAsync(buffer, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (idle.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"ClickHouse sent nothing for {idleTimeout}.");
        }

        Remember(buffer.Span[..count]);
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count)
    {
        var read = inner.Read(buffer, offset, count);
        Remember(buffer.AsSpan(offset, read));
        return read;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
            closed?.Invoke();
        }

        base.Dispose(disposing);
    }

    private void Remember(ReadOnlySpan<byte> bytes)
    {
        var last = bytes[Math.Max(0, bytes.Length - Kept)..];
        var at = (int)((BytesRead + bytes.Length - last.Length) % Kept);
        var first = Math.Min(last.Length, Kept - at);
        last[..first].CopyTo(_ring.AsSpan(at));
        last[first..].CopyTo(_ring);
        BytesRead += bytes.Length;
    }
}
