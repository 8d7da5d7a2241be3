using System.Security.Cryptography;

namespace Exporter.Engine.Payloads;

/// <summary>The keys that payloads are encrypted with: the first one encrypts, all of them decrypt.</summary>
public sealed class KeyRing
{
    private readonly Dictionary<ulong, byte[]> _keys = [];

    /// <summary>No keys: payloads are stored as they are.</summary>
    public static KeyRing Empty { get; } = new([]);

    /// <summary>Makes a ring.</summary>
    /// <param name="keys">Keys of 32 bytes; the first one encrypts.</param>
    /// <exception cref="ArgumentException">A key does not have 32 bytes.</exception>
    public KeyRing(IReadOnlyList<byte[]> keys)
    {
        ArgumentNullException.ThrowIfNull(keys);
        foreach (var key in keys)
        {
            if (key.Length != 32)
            {
                throw new ArgumentException($"An encryption key must have 32 bytes; one has {key.Length}.", nameof(keys));
            }

            _keys[IdOf(key)] = key;
        }

        Current = keys.Count == 0 ? null : keys[0];
        CurrentId = Current is null ? 0 : IdOf(Current);
    }

    internal byte[]? Current { get; }

    internal ulong CurrentId { get; }

    /// <summary>Reads keys as they stand in configuration: base64, separated by commas, the newest first.</summary>
    /// <exception cref="FormatException">A key is not base64 of 32 bytes. The message does not contain it.</exception>
    public static KeyRing Parse(string? text)
    {
        var keys = new List<byte[]>();
        foreach (var part in (text ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var key = new byte[32];
            if (!Convert.TryFromBase64String(part, key, out var length) || length != 32)
            {
                throw new FormatException($"Encryption key {keys.Count + 1} is not the base64 text of 32 bytes.");
            }

            keys.Add(key);
        }

        return new KeyRing(keys);
    }

    /// <summary>A new random key, as it stands in configuration.</summary>
    public static string NewKey() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    internal byte[]? Find(ulong id) => _keys.GetValueOrDefault(id);

    // A name for the key that tells nothing about it.
    private static ulong IdOf(byte[] key) => BitConverter.ToUInt64(HMACSHA256.HashData(key, "exporter key id"u8));
}
