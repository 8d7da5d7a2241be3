using System.Buffers.Binary;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Exporter.Engine.Payloads;

/// <summary>
/// Makes the bytes that are stored of inputs, outputs and checkpoints: JSON, compressed when it is long, encrypted with
/// AES-256-GCM when there is a key, and bound to the place where they stand, so that a ciphertext moved elsewhere is refused.
/// </summary>
public sealed class PayloadCodec
{
    /// <summary>Payloads of so many bytes are compressed.</summary>
    public const int CompressedFrom = 1024;

    // What is stored begins with one of these bytes.
    private const byte Plain = 0;
    private const byte AesGcm256 = 1;
    private const byte PlainCompressed = 2;
    private const byte AesGcm256Compressed = 3;

    // No more is unpacked: a few kilobytes that become gigabytes are an attack or an error.
    private const int LargestUnpacked = 512 << 20;
    private const int NonceSize = 12;
    private const int TagSize = 16;
    private const int HeaderSize = 1 + 8 + NonceSize;
    private readonly KeyRing _keys;
    private readonly JsonSerializerOptions _json;

    /// <summary>Makes a codec.</summary>
    /// <param name="keys">The keys; <see cref="KeyRing.Empty"/> stores payloads as they are.</param>
    /// <param name="json">How values become JSON. Default <see cref="JsonSerializerOptions.Web"/>.</param>
    public PayloadCodec(KeyRing keys, JsonSerializerOptions? json = null)
    {
        ArgumentNullException.ThrowIfNull(keys);
        _keys = keys;
        _json = json ?? JsonSerializerOptions.Web;
    }

    /// <summary>How values become JSON.</summary>
    internal JsonSerializerOptions Json => _json;

    /// <summary>Whether payloads are encrypted.</summary>
    public bool Encrypts => _keys.Current is not null;

    /// <summary>Serialises and protects a value.</summary>
    /// <param name="value">The value.</param>
    /// <param name="place">Where it will stand; the same is needed to read it.</param>
    public byte[] Write<T>(T value, string place) => Protect(JsonSerializer.SerializeToUtf8Bytes(value, _json), place);

    /// <summary>Reads what <see cref="Write{T}(T, string)"/> made.</summary>
    /// <exception cref="CryptographicException">It was changed, moved, or its key is not in the ring.</exception>
    /// <exception cref="JsonException">It is not of this type.</exception>
    public T Read<T>(byte[] stored, string place) => JsonSerializer.Deserialize<T>(Unprotect(stored, place), _json)!;

    internal byte[] Write<T>(T value, PayloadPlace place) => Protect(JsonSerializer.SerializeToUtf8Bytes(value, _json), place);

    internal T Read<T>(byte[] stored, PayloadPlace place) => JsonSerializer.Deserialize<T>(
        stored.Length > 0 && stored[0] == Plain ? stored.AsSpan(1) : Unprotect(stored, place.ToString()), _json)!;

    internal byte[] Protect(ReadOnlySpan<byte> plain, PayloadPlace place) =>
        Encrypts || plain.Length >= CompressedFrom ? Protect(plain, place.ToString()) : [Plain, .. plain];

    internal byte[] Unprotect(ReadOnlySpan<byte> stored, PayloadPlace place) => Unprotect(stored, place.ToString());

    /// <summary>Protects bytes.</summary>
    public byte[] Protect(ReadOnlySpan<byte> plain, string place)
    {
        var packed = Pack(plain);
        var text = packed is null ? plain : packed;
        if (_keys.Current is not { } key)
        {
            return [packed is null ? Plain : PlainCompressed, .. text];
        }

        var stored = new byte[HeaderSize + text.Length + TagSize];
        stored[0] = packed is null ? AesGcm256 : AesGcm256Compressed;
        BinaryPrimitives.WriteUInt64LittleEndian(stored.AsSpan(1), _keys.CurrentId);
        var nonce = stored.AsSpan(9, NonceSize);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(key, TagSize);
        aes.Encrypt(nonce, text, stored.AsSpan(HeaderSize, text.Length), stored.AsSpan(HeaderSize + text.Length), Bound(stored, place));
        return stored;
    }

    /// <summary>Reads what <see cref="Protect(ReadOnlySpan{byte}, string)"/> made.</summary>
    /// <exception cref="CryptographicException">It was changed, moved, or its key is not in the ring.</exception>
    public byte[] Unprotect(ReadOnlySpan<byte> stored, string place)
    {
        if (stored.Length > 0 && stored[0] is Plain or PlainCompressed)
        {
            // With a key there are no plain payloads but those of before; swapping one in gains who can write the tables
            // nothing that they could not do with the tables themselves.
            return stored[0] == Plain ? stored[1..].ToArray() : Unpack(stored[1..], place);
        }

        if (stored.Length < HeaderSize + TagSize || stored[0] is not (AesGcm256 or AesGcm256Compressed))
        {
            throw new CryptographicException($"The payload of {place} is not one that this version writes.");
        }

        var key = _keys.Find(BinaryPrimitives.ReadUInt64LittleEndian(stored[1..])) ?? throw new CryptographicException(
            $"The payload of {place} was encrypted with a key that is not in the ring; add the old key to the encryption key setting.");
        var plain = new byte[stored.Length - HeaderSize - TagSize];
        using var aes = new AesGcm(key, TagSize);
        aes.Decrypt(stored.Slice(9, NonceSize), stored.Slice(HeaderSize, plain.Length), stored[^TagSize..], plain, Bound(stored, place));
        return stored[0] == AesGcm256 ? plain : Unpack(plain, place);
    }

    /// <summary>Whether a payload is not under the ring's newest key: it is plain, or under an older key. False without keys.</summary>
    public bool NeedsRotation(ReadOnlySpan<byte> stored) => Encrypts
        && (stored[0] is Plain or PlainCompressed || BinaryPrimitives.ReadUInt64LittleEndian(stored[1..]) != _keys.CurrentId);

    // Null where it is not worth it.
    private static byte[]? Pack(ReadOnlySpan<byte> plain)
    {
        if (plain.Length < CompressedFrom)
        {
            return null;
        }

        var packed = new byte[plain.Length - (plain.Length / 8)];
        return BrotliEncoder.TryCompress(plain, packed, out var length, quality: 1, window: 22) ? packed[..length] : null;
    }

    private static byte[] Unpack(ReadOnlySpan<byte> packed, string place)
    {
        using var source = new BrotliStream(new MemoryStream(packed.ToArray()), CompressionMode.Decompress);
        using var plain = new MemoryStream();
        var buffer = new byte[16 * 1024];
        int count;
        try
        {
            while ((count = source.Read(buffer)) > 0)
            {
                plain.Write(buffer.AsSpan(0, count));
                if (plain.Length > LargestUnpacked)
                {
                    throw new CryptographicException($"The payload of {place} unpacks to more than {LargestUnpacked >> 20} MiB.");
                }
            }
        }
        catch (InvalidDataException error)
        {
            throw new CryptographicException($"The payload of {place} is not one that this version writes.", error);
        }

        return plain.ToArray();
    }

    // The header and the place are authenticated with the text.
    private static byte[] Bound(ReadOnlySpan<byte> stored, string place) => [.. stored[..9], .. Encoding.UTF8.GetBytes(place)];
}
