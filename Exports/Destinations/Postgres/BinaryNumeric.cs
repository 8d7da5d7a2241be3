namespace Exporter.Exports.Destinations.Postgres;

/// <summary>
/// numeric in binary: groups of four decimal digits, how many of them stand before the point, a sign, and the digits behind the
/// point that are shown. Written with the length before it.
/// </summary>
internal static class BinaryNumeric
{
    private const short Negative = 0x4000;

    // Of 76 digits at most, cut at the point: 20 groups.
    private const int MostGroups = 40;

    public static void Write(CopyBuffer output, UInt128 magnitude, bool negative, int scale)
    {
        Span<short> groups = stackalloc short[MostGroups];

        // From the end: the digits behind the point, the last group of them filled up with zeros.
        var count = 0;
        var behind = scale % 4;
        if (behind > 0)
        {
            var power = (ulong)Math.Pow(10, behind);
            (magnitude, var digits) = DivRem(magnitude, power);
            groups[count++] = (short)(digits * (ulong)Math.Pow(10, 4 - behind));
        }

        for (var left = scale / 4; left > 0; left--)
        {
            (magnitude, var digits) = DivRem(magnitude, 10_000);
            groups[count++] = (short)digits;
        }

        var fraction = count;
        while (magnitude != 0)
        {
            (magnitude, var digits) = DivRem(magnitude, 10_000);
            groups[count++] = (short)digits;
        }

        Write(output, groups[..count], count - fraction, negative, scale);
    }

    /// <summary>A number as text: a sign or none, digits, a point and digits or none. Answers false when it is none, and writes nothing.</summary>
    public static bool TryWrite(CopyBuffer output, ReadOnlySpan<byte> text)
    {
        var negative = text.Length > 0 && text[0] == '-';
        var digits = negative || (text.Length > 0 && text[0] == '+') ? text[1..] : text;
        var point = digits.IndexOf((byte)'.');
        var whole = point < 0 ? digits : digits[..point];
        var fraction = point < 0 ? default : digits[(point + 1)..];
        if (whole.Length + fraction.Length is 0 or > 1_000 || whole.IndexOfAnyExceptInRange((byte)'0', (byte)'9') >= 0
            || fraction.IndexOfAnyExceptInRange((byte)'0', (byte)'9') >= 0)
        {
            return false;
        }

        Span<short> groups = stackalloc short[(whole.Length / 4) + (fraction.Length / 4) + 2];
        var count = 0;
        for (var from = (fraction.Length - 1) / 4 * 4; from >= 0 && fraction.Length > 0; from -= 4)
        {
            groups[count++] = Group(fraction[from..Math.Min(from + 4, fraction.Length)], 4 - Math.Min(4, fraction.Length - from));
        }

        var behind = count;
        for (var to = whole.Length; to > 0; to -= 4)
        {
            groups[count++] = Group(whole[Math.Max(0, to - 4)..to], 0);
        }

        Write(output, groups[..count], count - behind, negative, fraction.Length);
        return true;
    }

    private static short Group(ReadOnlySpan<byte> digits, int zeros)
    {
        var value = 0;
        foreach (var digit in digits)
        {
            value = (value * 10) + digit - '0';
        }

        return (short)(value * (int)Math.Pow(10, zeros));
    }

    // Backwards: the last group first.
    private static void Write(CopyBuffer output, Span<short> groups, int weight, bool negative, int scale)
    {
        var last = 0;
        while (last < groups.Length && groups[last] == 0)
        {
            last++;
        }

        var first = groups.Length;
        while (first > last && groups[first - 1] == 0)
        {
            first--;
            weight--;
        }

        var count = first - last;
        output.Int(8 + (2 * count));
        output.Short((short)count);
        output.Short((short)(count == 0 ? 0 : weight - 1));
        output.Short(negative && count > 0 ? Negative : (short)0);
        output.Short((short)scale);
        for (var at = first - 1; at >= last; at--)
        {
            output.Short(groups[at]);
        }
    }

    private static (UInt128 Quotient, ulong Left) DivRem(UInt128 value, ulong divisor)
    {
        if (value <= ulong.MaxValue)
        {
            var (small, left) = Math.DivRem((ulong)value, divisor);
            return (small, left);
        }

        var (large, remainder) = UInt128.DivRem(value, divisor);
        return (large, (ulong)remainder);
    }
}
