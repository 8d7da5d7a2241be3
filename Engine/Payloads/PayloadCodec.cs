using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Exporter.Engine.Payloads;

/// <summary>
/// Makes the bytes that are stored of inputs, outputs and checkpoints: JSON, encrypted with AES-256-GCM when there is a key,
/// and bound to the place where they stand, so that a ciphertext moved elsewhere is refused.
/// </summary>
public sealed class PayloadCodec
{
    private const byte Plain = 0;
    private const byte AesGcm256 = 1;
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

    /// <summary>Reads what <see cref="Write"/> made.</summary>
    /// <exception cref="CryptographicException">It was changed, moved, or its key is not in the ring.</exception>
    /// <exception cref="JsonException">It is not of this type.</exception>
    public T Read<T>(byte[] stored, string place) => JsonSerializer.Deserialize<T>(Unprotect(stored, place), _json)!;

    /// <summary>Protects bytes.</summary>
    public byte[] Protect(ReadOnlySpan<byte> plain, string place)
    {
        if (_keys.Current is not { } key)
        {
            return [Plain, .. plain];
        }

        var stored = new byte[HeaderSize + plain.Length + TagSize];
        stored[0] = AesGcm256;
        BinaryPrimitives.WriteUInt64LittleEndian(stored.AsSpan(1), _keys.CurrentId);
        var nonce = stored.AsSpan(9, NonceSize);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(key, TagSize);
        aes.Encrypt(nonce, plain, stored.AsSpan(HeaderSize, plain.Length), stored.AsSpan(HeaderSize + plain.Length), Bound(stored, place));
        return stored;
    }

    /// <summary>Reads what <see cref="Protect"/> made.</summary>
    /// <exception cref="CryptographicException">It was changed, moved, or its key is not in the ring.</exception>
    public byte[] Unprotect(ReadOnlySpan<byte> stored, string place)
    {
        if (stored.Length > 0 && stored[0] == Plain)
        {
            // With a key there are no plain payloads but those of before; swapping one in gains who can write the tables
            // nothing that they could not do with the tables themselves.
            return stored[1..].ToArray();
        }

        if (stored.Length < HeaderSize + TagSize || stored[0] != AesGcm256)
        {
            throw new CryptographicException($"The payload of {place} is not one that this version writes.");
        }

        var key = _keys.Find(BinaryPrimitives.ReadUInt64LittleEndian(stored[1..])) ?? throw new CryptographicException(
            $"The payload of {place} was encrypted with a key that is not in the ring; add the old key to the encryption key setting.");
        var plain = new byte[stored.Length - HeaderSize - TagSize];
        using var aes = new AesGcm(key, TagSize);
        aes.Decrypt(stored.Slice(9, NonceSize), stored.Slice(HeaderSize, plain.Length), stored[^TagSize..], plain, Bound(stored, place));
        return plain;
    }

    // The header and the place are authenticated with the text.
    private static byte[] Bound(ReadOnlySpan<byte> stored, string place) => [.. stored[..9], .. Encoding.UTF8.GetBytes(place)];
}
