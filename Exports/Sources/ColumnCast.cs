using System.Globalization;

namespace Exporter.Exports.Sources;

/// <summary>
/// Which cast a column needs so that nothing is lost on the way through Arrow, where DateTime arrives as an integer, Enum as its
/// number, UUID and IPv6 as bytes. Pure: a type's text in, an expression out.
/// </summary>
internal static class ColumnCast
{
    private const string AsText = "String";

    /// <summary>The expression that is selected instead of <paramref name="expression"/>, which is of type <paramref name="type"/>.</summary>
    /// <param name="expression">The column.</param>
    /// <param name="type">Its type, as ClickHouse describes it.</param>
    /// <param name="nested">Whether Map, Tuple and Nested stay what they are, with each value inside cast like a column; else they become JSON text.</param>
    public static string Apply(string expression, string type, bool nested = false)
    {
        var (name, arguments) = TypeText.Split(type);
        if (name == "AggregateFunction")
        {
            // Arrow would get an address in the server's memory.
            return $"hex({expression})";
        }

        if (IsDocument(type, nested))
        {
            return $"toJSONString({expression})";
        }

        if (IsTooFine(name == "Nullable" ? arguments[0] : type))
        {
            return $"concat(replaceOne(CAST({Cast(expression, Utc(type))}, '{Target(type)}'), ' ', 'T'), 'Z')";
        }

        var source = HasTooFine(type) ? Cast(expression, Utc(type)) : expression;
        var target = Target(type);
        return target == type ? expression : Cast(source, target);
    }

    private static string Cast(string expression, string type) =>
        $"CAST({expression}, '{type.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal)}')";

    /// <summary>
    /// What has no columns in any format becomes JSON text: values of a type of their own (JSON, Dynamic, Variant, and the geometric
    /// types, whose text is that of GeoJSON's coordinates), whatever holds one of these, and what Arrow cannot say (a Tuple of nothing, one that is
    /// NULL).
    /// </summary>
    public static bool IsDocument(string type, bool nested)
    {
        var (name, arguments) = TypeText.Split(type);
        return name switch
        {
            "Nullable" => TypeText.Split(arguments[0]).Name is "Tuple" or "Map" or "Array" || IsDocument(arguments[0], nested),
            "Array" or "LowCardinality" => IsDocument(arguments[0], nested),
            "SimpleAggregateFunction" => IsDocument(arguments[^1], nested),
            "Map" => !nested || arguments.Any(inner => IsDocument(inner, nested)),
            "Tuple" or "Nested" => !nested || arguments.Count == 0 || arguments.Any(inner => IsDocument(TypeText.Element(inner).Type, nested)),
            "JSON" or "Object" or "Dynamic" or "Variant" or "AggregateFunction" => true,
            "Point" or "Ring" or "LineString" or "MultiLineString" or "Polygon" or "MultiPolygon" or "Geometry" => true,
            _ => false,
        };
    }

    /// <summary>The type with each type inside it replaced by what Arrow carries whole.</summary>
    private static string Target(string type) => Rebuild(type, (name, arguments) => name switch
    {
        "DateTime" or "DateTime32" => "DateTime64(0, 'UTC')",
        "DateTime64" when arguments[0] is "7" or "8" => AsText,
        "DateTime64" => $"DateTime64({arguments[0]}, 'UTC')",
        "Date" => "Date32",
        "BFloat16" => "Float32",
        "QBit" => arguments[0] == "Float64" ? "Array(Float64)" : "Array(Float32)",
        "Nothing" => AsText,
        "Decimal" when int.Parse(arguments[0], CultureInfo.InvariantCulture) > 38 => AsText,
        "UUID" or "IPv4" or "IPv6" or "Enum" or "Enum8" or "Enum16" or "Time" or "Time64" => AsText,
        "Int128" or "Int256" or "UInt128" or "UInt256" => AsText,
        _ when name.StartsWith("Interval", StringComparison.Ordinal) => "Int64",
        _ => null,
    });

    private static string Utc(string type) => Rebuild(
        type, (name, arguments) => name == "DateTime64" ? $"DateTime64({arguments[0]}, 'UTC')" : null);

    private static string Rebuild(string type, Func<string, IReadOnlyList<string>, string?> leaf)
    {
        var (name, arguments) = TypeText.Split(type);
        return name switch
        {
            "Nullable" or "Array" or "Map" => $"{name}({string.Join(", ", arguments.Select(inner => Rebuild(inner, leaf)))})",
            "LowCardinality" => Rebuild(arguments[0], leaf),
            "SimpleAggregateFunction" => Rebuild(arguments[^1], leaf),
            "Tuple" => Elements(),
            "Nested" => $"Array({Elements()})",
            _ => leaf(name, arguments) ?? type,
        };

        string Elements() => $"Tuple({string.Join(", ", arguments.Select(TypeText.Element).Select(element => $"{element.Name} {Rebuild(element.Type, leaf)}".TrimStart()))})";
    }

    /// <summary>Arrow and Parquet count 7 to 9 digits in nanoseconds, which end in 2262. ClickHouse's DateTime64(9) does too; with 7 or 8
    /// digits it goes on to 2299.</summary>
    private static bool IsTooFine(string type) => TypeText.Split(type) is ("DateTime64", ["7" or "8", ..]);

    private static bool HasTooFine(string type)
    {
        var found = false;
        Rebuild(type, (name, arguments) =>
        {
            found |= name == "DateTime64" && arguments[0] is "7" or "8";
            return null;
        });
        return found;
    }
}
