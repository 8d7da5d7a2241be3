namespace Exporter.Exports.Formats;

/// <summary>A stream that only grows, for a writer that asks where it is and takes only streams that say they can seek; it never goes back.</summary>
internal sealed class ForwardStream(Stream output) : Stream
{
    private long position;

    public override bool CanRead => false;

    public override bool CanSeek => true;

    public override bool CanWrite => true;

    public override long Length => position;

    public override long Position
    {
        get => position;
        set => throw new NotSupportedException("The stream only grows.");
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        output.Write(buffer);
        position += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush() => output.Flush();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException("The stream only grows.");

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("The stream is only written to.");

    public override void SetLength(long value) => throw new NotSupportedException("The stream only grows.");
}
