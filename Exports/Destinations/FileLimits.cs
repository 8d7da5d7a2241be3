using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>What files can hold: in JSON, text that is no UTF-8 would become other text. The other formats keep its bytes.</summary>
internal static class FileLimits
{
    private static readonly ColumnLimit Text = new() { Utf8 = true };

    /// <summary>The limit of a column; null when files hold all of it.</summary>
    public static ColumnLimit? Of(FormatOptions format, Field field) => format.Format == FileFormat.JsonLines && HoldsText(field.DataType) ? Text : null;

    private static bool HoldsText(IArrowType type) => type switch
    {
        StringType => true,
        ListType list => HoldsText(list.ValueDataType),
        MapType map => HoldsText(map.KeyField.DataType) || HoldsText(map.ValueField.DataType),
        StructType all => all.Fields.Any(field => HoldsText(field.DataType)),
        _ => false,
    };
}
