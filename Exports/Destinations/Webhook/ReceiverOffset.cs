using System.Globalization;
using System.Security.Cryptography;

namespace Exporter.Exports.Destinations.Webhook;

/// <summary>
/// How far one receiver is with a slice. What it has is not sent again, and must still be what the source has: every message
/// that an earlier attempt delivered, or may have, is compared by the hash of its rows. Not safe for several threads.
/// </summary>
internal sealed class ReceiverOffset
{
    private readonly int _slice;
    private readonly int _settledBefore;
    private readonly string _chainBefore;
    private readonly SortedDictionary<int, OpenMessage> _open = [];
    private byte[] _met = new byte[32];
    private byte[] _chain;
    private int _messages;
    private long _rows;

    public ReceiverOffset(int slice, ReceiverProgress? before)
    {
        _slice = slice;
        _settledBefore = _messages = before?.Messages ?? 0;
        _rows = before?.Rows ?? 0;
        _chainBefore = before?.Chain ?? "";
        _chain = before is null ? new byte[32] : Convert.FromHexString(before.Chain);
        foreach (var open in before?.Open ?? [])
        {
            _open[open.Number] = open;
        }
    }

    public int Messages => _messages;

    public long Rows => _rows;

    public ReceiverProgress Progress => new() { Messages = _messages, Rows = _rows, Chain = Convert.ToHexStringLower(_chain), Open = [.. _open.Values] };

    /// <summary>Whether a message is still to be sent. Messages are met in their order, each once.</summary>
    /// <exception cref="UserErrorException">An earlier attempt delivered other rows in its place.</exception>
    public bool Meet(WebhookMessage message)
    {
        if (message.Number < _settledBefore)
        {
            _met = Link(_met, message.Content);
            return message.Number + 1 == _settledBefore && Convert.ToHexStringLower(_met) != _chainBefore ? throw Changed() : false;
        }

        if (_open.TryGetValue(message.Number, out var known))
        {
            return known.Content == Convert.ToHexStringLower(message.Content) ? !known.Done : throw Changed();
        }

        _open[message.Number] = new(message.Number, message.Rows, Convert.ToHexStringLower(message.Content), Done: false);
        return true;
    }

    /// <summary>The receiver has the message, or it was put aside.</summary>
    public void Done(int number)
    {
        _open[number] = _open[number] with { Done = true };
        while (_open.TryGetValue(_messages, out var next) && next.Done)
        {
            _open.Remove(_messages);
            _chain = Link(_chain, Convert.FromHexString(next.Content));
            _messages++;
            _rows += next.Rows;
        }
    }

    /// <summary>All messages of the slice were met.</summary>
    /// <exception cref="UserErrorException">An earlier attempt delivered more.</exception>
    public void CheckEnd(int messages)
    {
        if (_settledBefore > messages || _open.Keys.Any(number => number >= messages))
        {
            throw Changed();
        }
    }

    private static byte[] Link(byte[] chain, byte[] content) => SHA256.HashData([.. chain, .. content]);

    private UserErrorException Changed() => new(
        "settle_delay",
        string.Create(CultureInfo.InvariantCulture, $"Slice {_slice} has other rows than when its first messages were delivered: rows of the interval are still changing."),
        "Make settle_delay longer, and export the interval again; messages with the same rows keep their ids.");
}
