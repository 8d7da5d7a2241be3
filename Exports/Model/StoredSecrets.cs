using System.Security.Cryptography;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>Secrets that a row holds through the payload codec.</summary>
internal static class StoredSecrets
{
    /// <summary>Throws when there is no key to encrypt them with.</summary>
    /// <param name="codec">The codec.</param>
    /// <param name="whose">Whose they are, as a sentence begins.</param>
    /// <exception cref="UserErrorException">There is none.</exception>
    public static void DemandKey(PayloadCodec codec, string whose)
    {
        if (!codec.Encrypts)
        {
            throw new UserErrorException(
                "encryption_key", $"{whose} has secrets and there is no key to encrypt them with.", "Set EXPORTER_ENCRYPTION_KEY; `exporter keys generate` prints a new one.");
        }
    }

    /// <summary>Decrypts them.</summary>
    /// <param name="codec">The codec.</param>
    /// <param name="secrets">As they are stored.</param>
    /// <param name="place">What they are bound to.</param>
    /// <param name="whose">Whose they are, for people.</param>
    /// <exception cref="UserErrorException">They are under a key that is not at hand.</exception>
    public static T Read<T>(PayloadCodec codec, byte[] secrets, string place, string whose)
    {
        try
        {
            return codec.Read<T>(secrets, place);
        }
        catch (CryptographicException error)
        {
            throw new UserErrorException(
                "encryption_key",
                $"The secrets of {whose} cannot be decrypted.",
                "Set EXPORTER_ENCRYPTION_KEY to the key that they were encrypted with; older keys follow the first one, separated by commas.",
                error);
        }
    }
}
