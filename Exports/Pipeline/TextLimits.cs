using System.Text.Json;
using System.Text.Unicode;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Pipeline;

/// <summary>Whether one text value is within a column's limits.</summary>
internal static class TextLimits
{
    /// <summary>The first limit that a value breaks; null when it breaks none.</summary>
    public static BadReason? Broken(ReadOnlySpan<byte> value, ColumnLimit limit)
    {
        if (value.Length > (limit.MaxBytes ?? int.MaxValue))
        {
            return BadReason.TooLong;
        }

        if (!limit.ZeroBytes && value.Contains((byte)0))
        {
            return BadReason.ZeroByte;
        }

        if ((limit.Utf8 || limit.Json is not null) && !Utf8.IsValid(value))
        {
            return BadReason.InvalidText;
        }

        return limit.Json is { } json ? Broken(value, json) : null;
    }

    private static BadReason? Broken(ReadOnlySpan<byte> value, JsonLimit limit)
    {
        var reader = new Utf8JsonReader(value, new JsonReaderOptions { MaxDepth = int.MaxValue });
        BadReason? found = null;
        try
        {
            while (reader.Read())
            {
                if (reader.CurrentDepth >= limit.MaxDepth && reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject)
                {
                    return BadReason.JsonTooDeep;
                }

                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
                {
                    found ??= Broken(reader.ValueSpan, !limit.ZeroBytes, !limit.UnpairedSurrogates);
                }
            }
        }
        catch (JsonException)
        {
            return BadReason.JsonInvalid;
        }

        return found;
    }

    // The text of a string as it stands in JSON, so that half a pair is still there.
    private static BadReason? Broken(ReadOnlySpan<byte> text, bool noZeroBytes, bool noHalves)
    {
        var high = false;
        for (var at = 0; at < text.Length; at++)
        {
            if (text[at] != '\\')
            {
                if (high)
                {
                    return BadReason.JsonUnpairedSurrogate;
                }

                continue;
            }

            at++;
            var unit = text[at] == 'u' ? Convert.ToInt32(System.Text.Encoding.ASCII.GetString(text.Slice(at + 1, 4)), 16) : -1;
            at += unit >= 0 ? 4 : 0;
            if (noZeroBytes && unit == 0)
            {
                return BadReason.JsonZeroByte;
            }

            var low = unit is >= 0xDC00 and <= 0xDFFF;
            if (noHalves && high != low)
            {
                return BadReason.JsonUnpairedSurrogate;
            }

            high = noHalves && unit is >= 0xD800 and <= 0xDBFF;
        }

        return high ? BadReason.JsonUnpairedSurrogate : null;
    }
}
