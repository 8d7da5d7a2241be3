using System.Globalization;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>What a value becomes on the wire. Types of PostgreSQL that take the same bytes are one form.</summary>
internal enum PostgresForm
{
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Numeric,
    Real,
    Double,
    Text,
    Jsonb,
    Uuid,
    Inet,
    Bytea,
    Date,
    Instant,
    Array,
}

/// <summary>A type of a column.</summary>
/// <param name="Sql">As in SQL, and as PostgreSQL's <c>format_type</c> says it.</param>
/// <param name="Form">What its values look like.</param>
internal sealed record PostgresType(string Sql, PostgresForm Form)
{
    private static readonly Dictionary<string, (PostgresForm Form, int Oid)> Known = new()
    {
        ["boolean"] = (PostgresForm.Boolean, 16),
        ["bytea"] = (PostgresForm.Bytea, 17),
        ["bigint"] = (PostgresForm.BigInt, 20),
        ["smallint"] = (PostgresForm.SmallInt, 21),
        ["integer"] = (PostgresForm.Integer, 23),
        ["text"] = (PostgresForm.Text, 25),
        ["json"] = (PostgresForm.Text, 114),
        ["real"] = (PostgresForm.Real, 700),
        ["double precision"] = (PostgresForm.Double, 701),
        ["inet"] = (PostgresForm.Inet, 869),
        ["character varying"] = (PostgresForm.Text, 1043),
        ["date"] = (PostgresForm.Date, 1082),
        ["timestamp without time zone"] = (PostgresForm.Instant, 1114),
        ["timestamp with time zone"] = (PostgresForm.Instant, 1184),
        ["numeric"] = (PostgresForm.Numeric, 1700),
        ["uuid"] = (PostgresForm.Uuid, 2950),
        ["jsonb"] = (PostgresForm.Jsonb, 3802),
    };

    public static PostgresType Text { get; } = Of("text");

    public static PostgresType Json { get; } = Of("jsonb");

    public static PostgresType Number { get; } = Of("numeric");

    /// <summary>Digits in all and behind the point that a numeric is bound to; null when it is not.</summary>
    public (int Precision, int Scale)? Bounds { get; init; }

    /// <summary>Of an array: the type of its elements.</summary>
    public PostgresType? Element { get; init; }

    /// <summary>Its name without what stands in parentheses.</summary>
    public string Name { get; init; } = Sql;

    /// <summary>Its number in PostgreSQL's catalogue, which arrays have to say of their elements; the same in every database.</summary>
    public int Oid => Known[Name].Oid;

    /// <summary>A type that is known.</summary>
    public static PostgresType Of(string sql) => Parse(sql, isEnum: false) ?? throw new ArgumentException($"{sql} is not known.", nameof(sql));

    /// <summary>A type as <c>format_type</c> says it; null when rows cannot be written to it.</summary>
    public static PostgresType? Parse(string sql, bool isEnum)
    {
        if (isEnum)
        {
            return new PostgresType(sql, PostgresForm.Text);
        }

        if (sql.EndsWith("[]", StringComparison.Ordinal))
        {
            return Parse(sql[..^2], isEnum: false) is { Element: null } element
                ? new PostgresType(sql, PostgresForm.Array) { Element = element }
                : null;
        }

        var open = sql.IndexOf('(', StringComparison.Ordinal);
        var close = sql.IndexOf(')', StringComparison.Ordinal);
        var name = open < 0 ? sql : sql[..open] + sql[(close + 1)..];
        if (!Known.TryGetValue(name, out var known))
        {
            return null;
        }

        var type = new PostgresType(sql, known.Form) { Name = name };
        if (name != "numeric" || open < 0)
        {
            return type;
        }

        var numbers = sql[(open + 1)..close].Split(',').Select(number => int.Parse(number, CultureInfo.InvariantCulture)).ToArray();
        return type with { Bounds = (numbers[0], numbers.Length > 1 ? numbers[1] : 0) };
    }

    /// <summary>A numeric of so many digits.</summary>
    public static PostgresType Decimal(int precision, int scale) => Of(string.Create(CultureInfo.InvariantCulture, $"numeric({precision},{scale})"));

    /// <summary>An array of it.</summary>
    public PostgresType ToArray() => new(Sql + "[]", PostgresForm.Array) { Element = this };

    public override string ToString() => Sql;
}
