using System.Globalization;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Destinations.Snowflake;

/// <summary>A type of a column: https://docs.snowflake.com/en/sql-reference/intro-summary-data-types. Pure.</summary>
/// <param name="Name">VARCHAR, NUMBER, FLOAT, BOOLEAN, BINARY, DATE, TIMESTAMP_LTZ, VARIANT or ARRAY, and others that are there.</param>
/// <param name="Precision">Of NUMBER its digits, of TIMESTAMP_LTZ those of the second; 0 of the others.</param>
/// <param name="Scale">Of NUMBER the digits behind the point; of the export's instants those of the second in the number that they are staged as; 0 of the others.</param>
internal sealed record SnowflakeType(string Name, int Precision = 0, int Scale = 0)
{
    /// <summary>The most digits of a NUMBER behind the point.</summary>
    public const int MostScale = 37;

    private static readonly ColumnLimit Text = new() { Utf8 = true, MaxBytes = 16 * 1024 * 1024 };
    private static readonly ColumnLimit Bytes = new() { MaxBytes = 8 * 1024 * 1024 };
    private static readonly ColumnLimit Json = new() { MaxBytes = 16 * 1024 * 1024, Json = new JsonLimit { UnpairedSurrogates = false } };

    /// <summary>Whether values are staged as JSON text.</summary>
    public bool IsJson => Name is "VARIANT" or "ARRAY" or "OBJECT";

    /// <summary>As it stands in SQL.</summary>
    public string Sql => Name switch
    {
        "NUMBER" => string.Create(CultureInfo.InvariantCulture, $"NUMBER({Precision},{Scale})"),
        "TIMESTAMP_LTZ" or "TIMESTAMP_NTZ" or "TIMESTAMP_TZ" or "TIME" => string.Create(CultureInfo.InvariantCulture, $"{Name}({Precision})"),
        _ => Name,
    };

    /// <summary>
    /// Of the column in the table that rows are staged in. JSON stays text there: a file's text would become a VARIANT that holds a text. Instants
    /// stay numbers: what a reader makes of Parquet's depends on its options and on the session's zone.
    /// </summary>
    public string StagedSql => IsJson ? "VARCHAR" : IsInstant ? "NUMBER(38,0)" : Sql;

    /// <summary>Whether values are staged as numbers since 1970.</summary>
    public bool IsInstant => Name == "TIMESTAMP_LTZ";

    /// <summary>The type of a new column.</summary>
    /// <exception cref="UserErrorException">Snowflake has none.</exception>
    public static SnowflakeType Of(Field field) => Of(field.DataType, SourceTypes.Of(field)) ?? throw new UserErrorException(
        "columns",
        $"Column \"{field.Name}\" is of the Arrow type {field.DataType.Name}, which the exporter cannot write to Snowflake.",
        "Cast it in the column's expression, for instance with toString().");

    /// <summary>What a new column cannot hold; null when it holds all that comes.</summary>
    public static ColumnLimit? LimitOf(Field field) => (field.DataType, Of(field).Name) switch
    {
        (StringType, "VARIANT") => Json,
        (StringType, "BINARY") => Bytes,
        (StringType, _) or (ListType, _) => Text,
        _ => null,
    };

    /// <summary>A type as DESCRIBE TABLE says it, such as NUMBER(38,0).</summary>
    public static SnowflakeType Parse(string text)
    {
        var open = text.IndexOf('(', StringComparison.Ordinal);
        var name = (open < 0 ? text : text[..open]).Trim().ToUpperInvariant();
        var numbers = open < 0 || name is not ("NUMBER" or "TIMESTAMP_LTZ" or "TIMESTAMP_NTZ" or "TIMESTAMP_TZ" or "TIME")
            ? []
            : text[(open + 1)..text.IndexOf(')', StringComparison.Ordinal)].Split(',').Select(number => int.Parse(number, CultureInfo.InvariantCulture)).ToArray();
        return new SnowflakeType(name is "DOUBLE" or "REAL" ? "FLOAT" : name, numbers.Length > 0 ? numbers[0] : 0, numbers.Length > 1 ? numbers[1] : 0);
    }

    /// <summary>Whether a column of this type that is there takes every value of another type, also those that are not there yet.</summary>
    public bool Takes(SnowflakeType other) => (Name, other.Name) switch
    {
        ("NUMBER", "NUMBER") => Scale >= other.Scale && Precision - Scale >= other.Precision - other.Scale,
        ("TIMESTAMP_LTZ" or "TIMESTAMP_TZ", "TIMESTAMP_LTZ") => Precision >= other.Precision,
        ("VARIANT", "ARRAY" or "VARCHAR") or ("VARCHAR", "VARIANT" or "ARRAY") => true,
        _ => Name == other.Name,
    };

    /// <summary>What stands for a staged column when rows go to a column of this type.</summary>
    /// <param name="column">Its name in SQL.</param>
    /// <param name="staged">The export's type.</param>
    public string FromStage(string column, SnowflakeType staged) => Name switch
    {
        // https://docs.snowflake.com/en/sql-reference/functions/to_timestamp
        _ when staged.IsInstant => string.Create(CultureInfo.InvariantCulture, $"TO_TIMESTAMP_LTZ({column}, {staged.Scale})"),

        // Without "d" a key that comes twice is an error: https://docs.snowflake.com/en/sql-reference/functions/parse_json.
        "ARRAY" => $"TO_ARRAY(PARSE_JSON({column}, 'd'))",
        "VARIANT" => $"PARSE_JSON({column}, 'd')",
        _ => column,
    };

    public override string ToString() => Sql;

    private static SnowflakeType? Of(IArrowType arrow, string? source) => arrow switch
    {
        BooleanType => new("BOOLEAN"),
        Int8Type or UInt8Type or Int16Type or UInt16Type or Int32Type or UInt32Type or Int64Type => new("NUMBER", 38),
        UInt64Type => new("NUMBER", 20),
        HalfFloatType or FloatType or DoubleType => new("FLOAT"),
        Decimal32Type type => Decimal(type.Precision, type.Scale),
        Decimal64Type type => Decimal(type.Precision, type.Scale),
        Decimal128Type type => Decimal(type.Precision, type.Scale),
        Date32Type => new("DATE"),
        TimestampType { Unit: TimeUnit.Nanosecond } => new("TIMESTAMP_LTZ", 9, 9),
        TimestampType { Unit: TimeUnit.Microsecond } => new("TIMESTAMP_LTZ", 6, 6),
        TimestampType { Unit: TimeUnit.Millisecond } => new("TIMESTAMP_LTZ", 6, 3),
        TimestampType => new("TIMESTAMP_LTZ", 6, 0),
        BinaryType or FixedSizeBinaryType => new("BINARY"),
        StringType => OfText(source),
        ListType or LargeListType => new("ARRAY"),
        StructType or MapType => new("VARIANT"),
        _ => null,
    };

    // A NUMBER has 37 digits behind the point at most; what has 38 stays text.
    private static SnowflakeType Decimal(int precision, int scale) => scale > MostScale ? new("VARCHAR") : new("NUMBER", precision, scale);

    // What Arrow has no type for arrives as text; Snowflake may have one.
    private static SnowflakeType OfText(string? source)
    {
        if (source is null)
        {
            return new("VARCHAR");
        }

        // States of aggregates are text, in hexadecimal; of a FixedString all bytes count, of which the last may be zero.
        var (name, _) = SourceTypes.Plain(source);
        return name == "AggregateFunction" ? new("VARCHAR")
            : SourceTypes.IsDocument(source) ? new("VARIANT")
            : name == "FixedString" ? new("BINARY")
            : new("VARCHAR");
    }
}
