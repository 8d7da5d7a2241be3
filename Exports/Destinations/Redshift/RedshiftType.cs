using System.Globalization;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Destinations.Redshift;

/// <summary>A type of a column: https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html. Pure.</summary>
/// <param name="Name">SMALLINT, INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, BOOLEAN, VARCHAR, VARBYTE, DATE, TIMESTAMPTZ, SUPER, and others that are there.</param>
/// <param name="Length">Of VARCHAR and VARBYTE the most bytes, of DECIMAL its digits; 0 of the others.</param>
/// <param name="Scale">Of DECIMAL the digits behind the point; 0 of the others.</param>
internal sealed record RedshiftType(string Name, int Length = 0, int Scale = 0)
{
    /// <summary>The most bytes of a VARCHAR, and of a text inside of a SUPER: https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html and limitations-super.html.</summary>
    public const int MostText = 65_535;

    /// <summary>The most bytes of a VARBYTE, and of a SUPER: https://docs.aws.amazon.com/redshift/latest/dg/r_VARBYTE_type.html.</summary>
    public const int MostBytes = 16_777_216;

    // The most digits of a DECIMAL behind the point: https://docs.aws.amazon.com/redshift/latest/dg/r_Numeric_types201.html
    private const int MostScale = 37;

    private static readonly ColumnLimit Text = new() { ZeroBytes = false, Utf8 = true, MaxBytes = MostText };
    private static readonly ColumnLimit Bytes = new() { MaxBytes = MostText };

    private static readonly Dictionary<string, string> Catalogued = new(StringComparer.OrdinalIgnoreCase)
    {
        ["character varying"] = "VARCHAR", ["character"] = "CHAR", ["numeric"] = "DECIMAL", ["binary varying"] = "VARBYTE",
        ["timestamp with time zone"] = "TIMESTAMPTZ", ["timestamp without time zone"] = "TIMESTAMP",
    };

    /// <summary>Whether values are staged as JSON text.</summary>
    public bool IsJson => Name == "SUPER";

    /// <summary>As it stands in SQL.</summary>
    public string Sql => Name switch
    {
        "DECIMAL" => string.Create(CultureInfo.InvariantCulture, $"DECIMAL({Length},{Scale})"),
        "VARCHAR" or "CHAR" or "VARBYTE" => string.Create(CultureInfo.InvariantCulture, $"{Name}({Length})"),
        _ => Name,
    };

    /// <summary>
    /// The type of the column in the table that rows are staged in. JSON is copied as bytes: as text it could have 65,535 of them at most, and COPY would
    /// make a SUPER that holds a text of it.
    /// </summary>
    /// <param name="isCopy">Whether rows come by COPY; a parameter of INSERT is text.</param>
    public RedshiftType Staged(bool isCopy) => !IsJson ? this : isCopy ? new("VARBYTE", MostBytes) : new("VARCHAR", MostText);

    /// <summary>The type of a new column.</summary>
    /// <exception cref="UserErrorException">Redshift has none.</exception>
    public static RedshiftType Of(Field field) => Of(field.DataType, SourceTypes.Of(field)) ?? throw new UserErrorException(
        "columns",
        $"Column \"{field.Name}\" is of the Arrow type {field.DataType.Name}, which the exporter cannot write to Redshift.",
        "Cast it in the column's expression, for instance with toString().");

    /// <summary>What a new column cannot hold; null when it holds all that comes.</summary>
    /// <param name="field">The column.</param>
    /// <param name="isCopy">Whether rows come by COPY; a parameter of INSERT has fewer bytes.</param>
    public static ColumnLimit? LimitOf(Field field, bool isCopy) => (field.DataType, Of(field).Name) switch
    {
        (StringType, "SUPER") => new ColumnLimit { MaxBytes = isCopy ? MostBytes : MostText, Json = new JsonLimit { ZeroBytes = false, UnpairedSurrogates = false } },
        (StringType, "VARBYTE") => Bytes,
        (StringType, _) or (ListType, _) => Text,
        _ => null,
    };

    /// <summary>A type as SVV_ALL_COLUMNS says it.</summary>
    public static RedshiftType Parse(string type, int? length, int? precision, int? scale)
    {
        var open = type.IndexOf('(', StringComparison.Ordinal);
        var bare = (open < 0 ? type : type[..open]).Trim();
        var name = Catalogued.GetValueOrDefault(bare) ?? bare.ToUpperInvariant();
        return name switch
        {
            "DECIMAL" => new(name, precision ?? 38, scale ?? 0),
            "VARCHAR" or "CHAR" or "VARBYTE" => new(name, length ?? 0),
            _ => new(name),
        };
    }

    /// <summary>Whether a column of this type that is there takes every value of another type, also those that are not there yet.</summary>
    public bool Takes(RedshiftType other) => (Name, other.Name) switch
    {
        ("SMALLINT" or "INTEGER" or "BIGINT", "SMALLINT" or "INTEGER" or "BIGINT") => Digits >= other.Digits,
        ("DECIMAL", "DECIMAL" or "SMALLINT" or "INTEGER" or "BIGINT") => Scale >= other.Scale && Digits - Scale >= other.Digits - other.Scale,
        ("DOUBLE PRECISION", "REAL") => true,
        ("VARBYTE", "VARBYTE") => Length >= other.Length,

        // A text may be longer than the column, which is then said of its row.
        ("VARCHAR", "VARCHAR" or "SUPER") or ("SUPER", "VARCHAR") => true,
        _ => Name == other.Name,
    };

    /// <summary>What stands for a staged column when rows go to a column of this type.</summary>
    /// <param name="column">Its name in SQL.</param>
    /// <param name="staged">Its type there.</param>
    public string FromStage(string column, RedshiftType staged) => (Name, staged.Name) switch
    {
        // https://docs.aws.amazon.com/redshift/latest/dg/JSON_PARSE.html takes bytes as well as text.
        ("SUPER", _) => $"JSON_PARSE({column})",
        ("VARCHAR", "VARBYTE") => $"FROM_VARBYTE({column}, 'utf-8')",
        _ => column,
    };

    public override string ToString() => Sql;

    private int Digits => Name switch
    {
        "SMALLINT" => 5,
        "INTEGER" => 10,
        "BIGINT" => 19,
        _ => Length,
    };

    private static RedshiftType? Of(IArrowType arrow, string? source) => arrow switch
    {
        BooleanType => new("BOOLEAN"),
        Int8Type or UInt8Type or Int16Type => new("SMALLINT"),
        UInt16Type or Int32Type => new("INTEGER"),
        UInt32Type or Int64Type => new("BIGINT"),
        UInt64Type => new("DECIMAL", 20),
        HalfFloatType or FloatType => new("REAL"),
        DoubleType => new("DOUBLE PRECISION"),
        Decimal32Type type => Decimal(type.Precision, type.Scale),
        Decimal64Type type => Decimal(type.Precision, type.Scale),
        Decimal128Type type => Decimal(type.Precision, type.Scale),
        Date32Type => new("DATE"),
        TimestampType => new("TIMESTAMPTZ"),
        BinaryType or FixedSizeBinaryType => new("VARBYTE", MostText),
        StringType => OfText(source),
        ListType or LargeListType or StructType or MapType => new("SUPER"),
        _ => null,
    };

    private static RedshiftType Decimal(int precision, int scale) => scale > MostScale ? new("VARCHAR", MostText) : new("DECIMAL", precision, scale);

    // What Arrow has no type for arrives as text; Redshift may have one.
    private static RedshiftType OfText(string? source)
    {
        if (source is null)
        {
            return new("VARCHAR", MostText);
        }

        var (name, arguments) = SourceTypes.Plain(source);
        return name switch
        {
            // Its state, in hexadecimal.
            "AggregateFunction" => new("VARCHAR", MostText),
            _ when SourceTypes.IsDocument(source) => new("SUPER"),
            "UUID" => new("VARCHAR", 36),
            "IPv4" or "IPv6" => new("VARCHAR", 45),
            "Int128" or "UInt128" or "Int256" or "UInt256" => new("VARCHAR", 80),

            // All of its bytes, of which the last may be zero.
            "FixedString" when int.Parse(arguments[0], CultureInfo.InvariantCulture) <= MostText => new("VARBYTE", int.Parse(arguments[0], CultureInfo.InvariantCulture)),
            _ => new("VARCHAR", MostText),
        };
    }
}
