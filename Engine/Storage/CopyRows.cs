using System.Buffers.Binary;
using System.Text;
using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>
/// Rows for COPY in the binary format of PostgreSQL's documentation, written into one buffer: a call for each value, with its type
/// looked up and its task awaited, would cost more than the server takes to store it.
/// </summary>
internal sealed class CopyRows : IAsyncDisposable
{
    private const int Full = 64 << 10;
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private static readonly DateTime Epoch = new(2000, 1, 1, 0, 0, 0, DateTimeKind.Utc);
    private readonly NpgsqlRawCopyStream _stream;
    private byte[] _buffer = new byte[Full * 2];
    private int _length;
    private bool _isComplete;

    private CopyRows(NpgsqlRawCopyStream stream)
    {
        _stream = stream;
        // The signature, no flags, no extension.
        "PGCOPY\n"u8.CopyTo(Take(7));
        ((ReadOnlySpan<byte>)[0xff, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0]).CopyTo(Take(12));
    }

    /// <summary>Begins a COPY; what is disposed of before it is complete leaves nothing.</summary>
    public static async Task<CopyRows> BeginAsync(NpgsqlConnection connection, string table, IEnumerable<string> columns, CancellationToken cancellationToken) =>
        new(await connection.BeginRawBinaryCopyAsync($"copy {table} ({string.Join(", ", columns)}) from stdin (format binary)", cancellationToken).ConfigureAwait(false));

    /// <summary>Begins a row; a value for each of its columns follows.</summary>
    public ValueTask RowAsync(int columns, CancellationToken cancellationToken)
    {
        var sending = _length >= Full ? SendAsync(cancellationToken) : ValueTask.CompletedTask;
        if (!sending.IsCompletedSuccessfully)
        {
            return AfterAsync(sending, columns);
        }

        BinaryPrimitives.WriteInt16BigEndian(Take(2), (short)columns);
        return ValueTask.CompletedTask;
    }

    public void Null() => BinaryPrimitives.WriteInt32BigEndian(Take(4), -1);

    public void Uuid(Guid value) => value.TryWriteBytes(Value(16), bigEndian: true, out _);

    public void Smallint(short value) => BinaryPrimitives.WriteInt16BigEndian(Value(2), value);

    public void Integer(int value) => BinaryPrimitives.WriteInt32BigEndian(Value(4), value);

    public void Bytea(ReadOnlySpan<byte> value) => value.CopyTo(Value(value.Length));

    /// <summary>A text, or a value of an enumeration.</summary>
    public void Text(string value) => Utf8.GetBytes(value, Value(Utf8.GetByteCount(value)));

    public void Jsonb(string value)
    {
        var bytes = Value(Utf8.GetByteCount(value) + 1);
        bytes[0] = 1;
        Utf8.GetBytes(value, bytes[1..]);
    }

    public void Timestamptz(DateTime utc) => BinaryPrimitives.WriteInt64BigEndian(Value(8), (utc - Epoch).Ticks / TimeSpan.TicksPerMicrosecond);

    /// <summary>Whole days as days, as Npgsql does it.</summary>
    public void Interval(TimeSpan value)
    {
        var bytes = Value(16);
        BinaryPrimitives.WriteInt64BigEndian(bytes, (value - TimeSpan.FromDays(value.Days)).Ticks / TimeSpan.TicksPerMicrosecond);
        BinaryPrimitives.WriteInt32BigEndian(bytes[8..], value.Days);
        BinaryPrimitives.WriteInt32BigEndian(bytes[12..], 0);
    }

    public async Task CompleteAsync(CancellationToken cancellationToken)
    {
        BinaryPrimitives.WriteInt16BigEndian(Take(2), -1);
        await SendAsync(cancellationToken).ConfigureAwait(false);
        _isComplete = true;
        await _stream.DisposeAsync().ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_isComplete)
        {
            // To dispose of the stream alone would complete it.
            await _stream.CancelAsync().ConfigureAwait(false);
            await _stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask AfterAsync(ValueTask sending, int columns)
    {
        await sending.ConfigureAwait(false);
        BinaryPrimitives.WriteInt16BigEndian(Take(2), (short)columns);
    }

    private async ValueTask SendAsync(CancellationToken cancellationToken)
    {
        await _stream.WriteAsync(_buffer.AsMemory(0, _length), cancellationToken).ConfigureAwait(false);
        _length = 0;
    }

    private Span<byte> Value(int length)
    {
        BinaryPrimitives.WriteInt32BigEndian(Take(4), length);
        return Take(length);
    }

    private Span<byte> Take(int length)
    {
        if (_buffer.Length - _length < length)
        {
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _length + length));
        }

        _length += length;
        return _buffer.AsSpan(_length - length, length);
    }
}
