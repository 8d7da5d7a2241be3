using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>
/// A batch of rows as it is delivered. Its id says export, interval, slice, number and rows: the same in every try and
/// every attempt, and another one when an interval is exported again with other rows.
/// </summary>
internal sealed record WebhookMessage
{
    public required int Number { get; init; }

    public required string Id { get; init; }

    public required int Rows { get; init; }

    /// <summary>SHA-256 of the rows.</summary>
    public required byte[] Content { get; init; }

    /// <summary>The body before compression.</summary>
    public required ReadOnlyMemory<byte> Body { get; init; }

    public static string IdOf(SliceAddress address, int number, ReadOnlySpan<byte> content)
    {
        var place = string.Create(
            CultureInfo.InvariantCulture, $"{address.Export}\n{address.Interval.ToKey()}\n{address.Slice}\n{number}\n{Convert.ToHexStringLower(content)}");
        return "msg_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(place)))[..32];
    }
}
