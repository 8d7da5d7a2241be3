using System.Globalization;

namespace Exporter.Exports.Sources;

/// <summary>
/// Which cast a column needs so that nothing is lost on the way through Arrow, where DateTime arrives as an integer, Enum as its
/// number, UUID and IPv6 as bytes. Pure: a type's text in, a type's text out.
/// </summary>
internal static class ColumnCast
{
    private const string AsText = "String";

    /// <summary>The expression that is selected instead of <paramref name="expression"/>, which is of type <paramref name="type"/>.</summary>
    public static string Apply(string expression, string type)
    {
        if (IsDocument(type))
        {
            return $"toJSONString({expression})";
        }

        var target = Target(type);
        return target == type ? expression : $"CAST({expression}, '{target.Replace("'", "\\'", StringComparison.Ordinal)}')";
    }

    /// <summary>Map, Tuple, JSON and the like, at any depth: these have no columns in most destinations and become JSON text.</summary>
    public static bool IsDocument(string type)
    {
        var (name, arguments) = Split(type);
        return name switch
        {
            "Array" or "Nullable" or "LowCardinality" => IsDocument(arguments[0]),
            "SimpleAggregateFunction" => IsDocument(arguments[^1]),
            "Map" or "Tuple" or "Nested" or "JSON" or "Object" or "Dynamic" or "Variant" => true,
            "Point" or "Ring" or "LineString" or "MultiLineString" or "Polygon" or "MultiPolygon" or "Geometry" => true,
            _ => false,
        };
    }

    private static string Target(string type)
    {
        var (name, arguments) = Split(type);
        return name switch
        {
            "Nullable" => $"Nullable({Target(arguments[0])})",
            "Array" => $"Array({Target(arguments[0])})",
            "LowCardinality" => Target(arguments[0]),
            "SimpleAggregateFunction" => Target(arguments[^1]),
            "DateTime" or "DateTime32" => "DateTime64(0, 'UTC')",
            "DateTime64" => $"DateTime64({arguments[0]}, 'UTC')",
            "Date" => "Date32",
            "BFloat16" => "Float32",
            "Nothing" => AsText,
            "Decimal" when int.Parse(arguments[0], CultureInfo.InvariantCulture) > 38 => AsText,
            "UUID" or "IPv4" or "IPv6" or "Enum" or "Enum8" or "Enum16" or "FixedString" or "Time" or "Time64" => AsText,
            "Int128" or "Int256" or "UInt128" or "UInt256" => AsText,
            _ when name.StartsWith("Interval", StringComparison.Ordinal) => "Int64",
            _ => type,
        };
    }

    /// <summary>Cuts <c>Name(a, b)</c> into its name and its arguments; commas inside parentheses and quotes do not cut.</summary>
    public static (string Name, List<string> Arguments) Split(string type)
    {
        var open = type.IndexOf('(', StringComparison.Ordinal);
        if (open < 0)
        {
            return (type, []);
        }

        var arguments = new List<string>();
        var (depth, quoted, from) = (0, false, open + 1);
        for (var i = from; i < type.Length - 1; i++)
        {
            switch (type[i])
            {
                case '\\' when quoted:
                    i++;
                    break;
                case '\'':
                    quoted = !quoted;
                    break;
                case '(' when !quoted:
                    depth++;
                    break;
                case ')' when !quoted:
                    depth--;
                    break;
                case ',' when !quoted && depth == 0:
                    arguments.Add(type[from..i].Trim());
                    from = i + 1;
                    break;
                default:
                    break;
            }
        }

        arguments.Add(type[from..^1].Trim());
        return (type[..open], arguments);
    }
}
