using System.Text.Unicode;
using Apache.Arrow;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Pipeline;

/// <summary>A value that the destination cannot hold.</summary>
/// <param name="Row">Its row in the batch.</param>
/// <param name="Column">Its column.</param>
/// <param name="Reason">Why.</param>
internal readonly record struct BadCell(int Row, int Column, BadReason Reason);

/// <summary>
/// Finds the values of a batch that a destination cannot hold. A whole column is looked at in one go where that is enough, which it
/// nearly always is; columns without limits are not looked at.
/// </summary>
internal sealed class BadRowFinder(IReadOnlyList<ColumnLimit?> limits)
{
    /// <summary>The limits by column.</summary>
    public IReadOnlyList<ColumnLimit?> Limits { get; } = limits;

    /// <summary>The bad values by row, and in it by column; of each value the first reason.</summary>
    public IReadOnlyList<BadCell> Find(RecordBatch batch)
    {
        List<BadCell>? found = null;
        for (var column = 0; column < Limits.Count; column++)
        {
            if (Limits[column] is { } limit)
            {
                foreach (var (row, reason) in FindIn(batch.Column(column), limit))
                {
                    (found ??= []).Add(new BadCell(row, column, reason));
                }
            }
        }

        return found is null ? [] : [.. found.OrderBy(cell => cell.Row).ThenBy(cell => cell.Column)];
    }

    private static IEnumerable<(int Row, BadReason Reason)> FindIn(IArrowArray array, ColumnLimit limit) => array switch
    {
        BinaryArray values => Texts(values, limit),
        ListArray values => InLists(values, limit),
        StructArray values => InStructs(values, limit),
        FloatArray values when !limit.NotFinite => Each(values, row => !float.IsFinite(values.Values[row]), BadReason.NotFinite),
        DoubleArray values when !limit.NotFinite => Each(values, row => !double.IsFinite(values.Values[row]), BadReason.NotFinite),
        _ when limit.Whole is { } whole => Whole(array, whole.Least, whole.Greatest),
        _ => [],
    };

    private static IEnumerable<(int Row, BadReason Reason)> Texts(BinaryArray values, ColumnLimit limit)
    {
        if (values.Length == 0 || IsClean(values, limit))
        {
            yield break;
        }

        for (var row = 0; row < values.Length; row++)
        {
            if (values.IsValid(row) && TextLimits.Broken(values.GetBytes(row), limit) is { } reason)
            {
                yield return (row, reason);
            }
        }
    }

    // Over the bytes of all rows at once. They are UTF-8 row by row if they are so together and no row begins inside a character.
    private static bool IsClean(BinaryArray values, ColumnLimit limit)
    {
        var offsets = values.ValueOffsets;
        var bytes = values.ValueBuffer.Span[offsets[0]..offsets[values.Length]];
        if (limit.Json is not null || (!limit.ZeroBytes && bytes.Contains((byte)0)) || (limit.Utf8 && !Utf8.IsValid(bytes)))
        {
            return false;
        }

        if (limit.MaxBytes is not { } most || bytes.Length <= most)
        {
            most = int.MaxValue;
        }

        if (most == int.MaxValue && !limit.Utf8)
        {
            return true;
        }

        for (var row = 0; row < values.Length; row++)
        {
            var start = offsets[row] - offsets[0];
            if (offsets[row + 1] - offsets[row] > most || (limit.Utf8 && start < bytes.Length && (bytes[start] & 0xC0) == 0x80))
            {
                return false;
            }
        }

        return true;
    }

    private static IEnumerable<(int Row, BadReason Reason)> InStructs(StructArray values, ColumnLimit limit) => values.Fields
        .SelectMany(field => FindIn(field, limit))
        .Where(found => values.IsValid(found.Row))
        .DistinctBy(found => found.Row)
        .OrderBy(found => found.Row);

    private static IEnumerable<(int Row, BadReason Reason)> InLists(ListArray lists, ColumnLimit limit)
    {
        var row = 0;
        var last = -1;
        foreach (var (at, reason) in FindIn(lists.Values, limit))
        {
            while (row < lists.Length && lists.ValueOffsets[row + 1] <= at)
            {
                row++;
            }

            // Of a batch that is a part of another one, values outside it are not this batch's.
            if (row < lists.Length && at >= lists.ValueOffsets[row] && row != last && lists.IsValid(row))
            {
                last = row;
                yield return (row, reason);
            }
        }
    }

    private static IEnumerable<(int Row, BadReason Reason)> Whole(IArrowArray array, Int128 least, Int128 greatest) => array switch
    {
        UInt64Array values when greatest < ulong.MaxValue || least > 0 => Each(values, row => (Int128)values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        Int64Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        UInt32Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        Int32Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        UInt16Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        Int16Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        UInt8Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        Int8Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        Date32Array values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        TimestampArray values => Each(values, row => values.Values[row] is var v && (v < least || v > greatest), BadReason.OutOfRange),
        _ => [],
    };

    private static IEnumerable<(int Row, BadReason Reason)> Each(Apache.Arrow.Array array, Func<int, bool> isBad, BadReason reason)
    {
        for (var row = 0; row < array.Length; row++)
        {
            if (isBad(row) && array.IsValid(row))
            {
                yield return (row, reason);
            }
        }
    }
}
