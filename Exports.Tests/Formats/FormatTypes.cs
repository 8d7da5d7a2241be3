using System.Globalization;
using Apache.Arrow.Types;
using ParquetSharp;
using ParquetSharp.Schema;
using TimeUnit = Apache.Arrow.Types.TimeUnit;

namespace Exporter.Exports.Tests.Formats;

/// <summary>The types of a file's columns as docs/types.md writes them.</summary>
internal static class FormatTypes
{
    public static string Parquet(Node node) => node switch
    {
        PrimitiveNode leaf => Leaf(leaf),
        GroupNode { LogicalType: ListLogicalType } list => $"LIST of {Parquet(((GroupNode)list.Fields[0]).Fields[0])}",
        GroupNode { LogicalType: MapLogicalType } map when ((GroupNode)map.Fields[0]).Fields is [var key, var value] => $"MAP of {Parquet(key)} to {Parquet(value)}",
        GroupNode group => $"STRUCT ({string.Join(", ", group.Fields.Select(field => $"{field.Name} {Parquet(field)}"))})",
        _ => throw new ArgumentException(node.Name),
    };

    public static string Arrow(IArrowType type) => type switch
    {
        TimestampType time => $"timestamp[{Unit(time.Unit)}, {time.Timezone}]",
        Decimal128Type number => string.Create(CultureInfo.InvariantCulture, $"decimal128({number.Precision}, {number.Scale})"),
        Date32Type => "date32",
        MapType map => $"map<{Arrow(map.KeyField.DataType)}, {Arrow(map.ValueField.DataType)}>",
        ListType list => $"list<{Arrow(list.ValueDataType)}>",
        StructType group => $"struct<{string.Join(", ", group.Fields.Select(field => $"{field.Name}: {Arrow(field.DataType)}"))}>",
        _ => type.Name,
    };

    private static string Unit(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => "s",
        TimeUnit.Millisecond => "ms",
        TimeUnit.Microsecond => "us",
        _ => "ns",
    };

    private static string Leaf(PrimitiveNode leaf) => leaf.LogicalType switch
    {
        IntLogicalType type => string.Create(CultureInfo.InvariantCulture, $"{(type.IsSigned ? "INT" : "UINT")}({type.BitWidth})"),
        DecimalLogicalType type => string.Create(CultureInfo.InvariantCulture, $"DECIMAL({type.Precision}, {type.Scale})"),
        TimestampLogicalType type => $"TIMESTAMP({type.TimeUnit.ToString().ToLowerInvariant()}, {(type.IsAdjustedToUtc ? "UTC" : "local")})",
        NoneLogicalType => leaf.PhysicalType.ToString().ToUpperInvariant(),
        var type => type.Type.ToString().ToUpperInvariant(),
    };
}
