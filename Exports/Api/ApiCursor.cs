using System.Buffers.Text;
using System.Text.Json;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Api;

/// <summary>Where a page of a list ended. Opaque to clients, who only hand it back.</summary>
internal static class ApiCursor
{
    public static string Of<T>(T place) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(place, ExportJson.Options));

    /// <summary>Reads a cursor; null when there is none.</summary>
    /// <exception cref="UserErrorException">It is none of ours.</exception>
    public static T? Read<T>(string? cursor)
        where T : class
    {
        if (cursor is null)
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize<T>(Base64Url.DecodeFromChars(cursor), ApiBody.Strict) ?? throw new FormatException();
        }
        catch (Exception error) when (error is FormatException or JsonException or ArgumentException)
        {
            throw new UserErrorException("cursor", "The cursor is none.", "Give next_cursor of the page before, as it is, or leave it out.", error);
        }
    }

    /// <summary>A place in a list that is ordered by name.</summary>
    public sealed record Named(string Name);

    /// <summary>A place in a list that is ordered by time.</summary>
    public sealed record Timed(DateTimeOffset At);

    /// <summary>A place in a list that is ordered by number.</summary>
    public sealed record Numbered(long Number);
}
