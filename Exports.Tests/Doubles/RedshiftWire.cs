using System.Buffers.Binary;
using System.Text;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>A message of PostgreSQL's protocol, version 3: https://www.postgresql.org/docs/current/protocol-message-formats.html.</summary>
/// <param name="Type">Its letter.</param>
/// <param name="Body">What follows its length.</param>
internal readonly record struct WireMessage(char Type, byte[] Body)
{
    /// <summary>Texts that end with a zero byte, from a place on.</summary>
    public string Text(ref int at)
    {
        var end = Array.IndexOf(Body, (byte)0, at);
        var text = Encoding.UTF8.GetString(Body, at, end - at);
        at = end + 1;
        return text;
    }

    /// <summary>The fields of an error or notice.</summary>
    public Dictionary<char, string> Fields()
    {
        var fields = new Dictionary<char, string>();
        for (var at = 0; Body[at] != 0;)
        {
            var letter = (char)Body[at++];
            fields[letter] = Text(ref at);
        }

        return fields;
    }

    /// <summary>The values of a row, as text.</summary>
    public List<string?> Values()
    {
        var values = new List<string?>();
        var at = 2;
        for (var count = BinaryPrimitives.ReadInt16BigEndian(Body); count > 0; count--)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(Body.AsSpan(at));
            at += 4;
            values.Add(length < 0 ? null : Encoding.UTF8.GetString(Body, at, length));
            at += Math.Max(0, length);
        }

        return values;
    }

    public static WireMessage Of(char type, params object[] parts)
    {
        using var body = new MemoryStream();
        foreach (var part in parts)
        {
            byte[] bytes = part switch
            {
                string text => [.. Encoding.UTF8.GetBytes(text), 0],
                byte value => [value],
                short value => [(byte)(value >> 8), (byte)value],
                int value => [(byte)(value >> 24), (byte)(value >> 16), (byte)(value >> 8), (byte)value],
                _ => (byte[])part,
            };
            body.Write(bytes);
        }

        return new WireMessage(type, body.ToArray());
    }

    public static WireMessage Error(string code, string message, string? detail, char type = 'E') => Of(
        type,
        [(byte)'S', type == 'E' ? "ERROR" : "INFO", (byte)'C', code, (byte)'M', message, .. detail is null ? Array.Empty<object>() : [(byte)'D', detail], (byte)0]);
}

/// <summary>One side of a connection.</summary>
internal sealed class WirePeer(Stream stream)
{
    public Stream Stream => stream;

    /// <summary>The next message; null at the end of the connection.</summary>
    public async Task<WireMessage?> ReadAsync(CancellationToken cancellationToken)
    {
        var head = new byte[5];
        if (await stream.ReadAtLeastAsync(head, 5, throwOnEndOfStream: false, cancellationToken) < 5)
        {
            return null;
        }

        var body = new byte[BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(1)) - 4];
        await stream.ReadExactlyAsync(body, cancellationToken);
        return new WireMessage((char)head[0], body);
    }

    /// <summary>The first message, which has no letter.</summary>
    public async Task<byte[]?> ReadFirstAsync(CancellationToken cancellationToken)
    {
        var length = new byte[4];
        if (await stream.ReadAtLeastAsync(length, 4, throwOnEndOfStream: false, cancellationToken) < 4)
        {
            return null;
        }

        var body = new byte[BinaryPrimitives.ReadInt32BigEndian(length) - 4];
        await stream.ReadExactlyAsync(body, cancellationToken);
        return body;
    }

    public async Task WriteAsync(IEnumerable<WireMessage> messages, CancellationToken cancellationToken)
    {
        using var bytes = new MemoryStream();
        foreach (var message in messages)
        {
            bytes.WriteByte((byte)message.Type);
            bytes.Write(WireMessage.Of(' ', message.Body.Length + 4).Body);
            bytes.Write(message.Body);
        }

        await stream.WriteAsync(bytes.GetBuffer().AsMemory(0, (int)bytes.Length), cancellationToken);
        await stream.FlushAsync(cancellationToken);
    }

    public Task WriteAsync(WireMessage message, CancellationToken cancellationToken) => WriteAsync([message], cancellationToken);

    public async Task WriteFirstAsync(byte[] body, CancellationToken cancellationToken)
    {
        byte[] whole = [.. WireMessage.Of(' ', body.Length + 4).Body, .. body];
        await stream.WriteAsync(whole, cancellationToken);
        await stream.FlushAsync(cancellationToken);
    }
}
