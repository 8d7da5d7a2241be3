using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Formats;

/// <summary>
/// Which columns of a Parquet file want no dictionary: those whose values hardly repeat, such as ids and times. A dictionary of them is a
/// second copy that the writer looks every value up in, for a file that is no smaller. Pure.
/// </summary>
internal static class ParquetDictionaries
{
    private const int LeastValues = 128;
    private const int MostValues = 1_024;
    private const int BytesLookedAt = 64;

    /// <summary>The columns of a file's first batch in which more than half of the first values are there once. Of too few values nothing is said.</summary>
    public static IEnumerable<string> Useless(RecordBatch first) =>
        first.Schema.FieldsList.Where((_, column) => HardlyRepeats(first.Column(column))).Select(field => field.Name);

    private static bool HardlyRepeats(IArrowArray array)
    {
        var seen = new HashSet<ulong>();
        var values = 0;
        for (var row = 0; row < array.Length && values < MostValues; row++)
        {
            if (array.IsValid(row))
            {
                if (!TryBytes(array, row, out var bytes))
                {
                    return false;
                }

                values++;
                seen.Add(Hash(bytes));
            }
        }

        return values >= LeastValues && seen.Count > values / 2;
    }

    private static bool TryBytes(IArrowArray array, int row, out ReadOnlySpan<byte> bytes)
    {
        switch (array)
        {
            case StringArray texts:
                bytes = texts.GetBytes(row);
                return true;
            case Apache.Arrow.Array numbers when array.Data.DataType is FixedWidthType { BitWidth: >= 16 and var bits }:
                bytes = numbers.Data.Buffers[1].Span.Slice((numbers.Data.Offset + row) * (bits / 8), bits / 8);
                return true;
            default:
                bytes = default;
                return false;
        }
    }

    // Length and both ends tell most long texts apart; where they do not, the dictionary stays, and gives up by itself when it is too large.
    private static ulong Hash(ReadOnlySpan<byte> bytes)
    {
        var hash = 14695981039346656037UL ^ (ulong)bytes.Length;
        foreach (var value in bytes[..Math.Min(bytes.Length, BytesLookedAt)])
        {
            hash = unchecked((hash ^ value) * 1099511628211UL);
        }

        foreach (var value in bytes[Math.Max(0, bytes.Length - BytesLookedAt)..])
        {
            hash = unchecked((hash ^ value) * 1099511628211UL);
        }

        return hash;
    }
}
