using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations;

/// <summary>What files of any format can hold: text is UTF-8 in all of them, and readers refuse a file, or misread it, where it is not.</summary>
internal static class FileLimits
{
    private static readonly ColumnLimit Text = new() { Utf8 = true };

    /// <summary>The limit of a column; null when files hold all of it.</summary>
    public static ColumnLimit? Of(Field field) => HoldsText(field.DataType) ? Text : null;

    private static bool HoldsText(IArrowType type) => type switch
    {
        StringType => true,
        ListType list => HoldsText(list.ValueDataType),
        _ => false,
    };
}
