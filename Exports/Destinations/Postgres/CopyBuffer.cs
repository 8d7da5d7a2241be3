using System.Buffers.Binary;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Bytes on their way to the server, in PostgreSQL's binary formats: big endian. Grows; what is in it is taken as a whole.</summary>
internal sealed class CopyBuffer
{
    private byte[] _bytes = new byte[256 * 1024];

    /// <summary>Bytes in it.</summary>
    public int Length { get; private set; }

    /// <summary>What is in it.</summary>
    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    public void Clear() => Length = 0;

    /// <summary>Room for so many bytes, which count as written.</summary>
    public Span<byte> Take(int count)
    {
        if (_bytes.Length - Length < count)
        {
            Array.Resize(ref _bytes, checked((int)Math.Max(2L * _bytes.Length, (long)Length + count)));
        }

        var room = _bytes.AsSpan(Length, count);
        Length += count;
        return room;
    }

    public void Short(short value) => BinaryPrimitives.WriteInt16BigEndian(Take(2), value);

    public void Int(int value) => BinaryPrimitives.WriteInt32BigEndian(Take(4), value);

    public void Long(long value) => BinaryPrimitives.WriteInt64BigEndian(Take(8), value);

    public void Bytes(ReadOnlySpan<byte> value) => value.CopyTo(Take(value.Length));

    /// <summary>A length that is not known yet; <see cref="EndLength"/> fills it in.</summary>
    public int BeginLength()
    {
        Take(4);
        return Length;
    }

    /// <summary>Fills in the length of what was written since.</summary>
    public void EndLength(int begin) => BinaryPrimitives.WriteInt32BigEndian(_bytes.AsSpan(begin - 4), Length - begin);
}
