using System.Globalization;
using System.Text.Json.Nodes;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>A type of a column: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types. Pure.</summary>
/// <param name="Name">BOOL, INT64, FLOAT64, NUMERIC, BIGNUMERIC, STRING, BYTES, DATE, TIMESTAMP, JSON, and others that are there.</param>
/// <param name="Precision">Of a decimal its digits, of STRING and BYTES the most of them; 0 where that is not bound.</param>
/// <param name="Scale">Of a decimal the digits behind the point.</param>
/// <param name="IsArray">Whether it is an array of these.</param>
internal sealed record BigQueryType(string Name, int Precision = 0, int Scale = 0, bool IsArray = false)
{
    // Of NUMERIC and BIGNUMERIC: digits before and behind the point.
    private const int NumericWhole = 29;
    private const int NumericScale = 9;
    private const int BigWhole = 38;
    private const int BigScale = 38;

    // A row of a Parquet file may have 50 MB: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet.
    private static readonly ColumnLimit Text = new() { Utf8 = true, MaxBytes = 48 * 1024 * 1024 };
    private static readonly ColumnLimit Bytes = new() { MaxBytes = 48 * 1024 * 1024 };

    // https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#json_type: 500 levels.
    private static readonly ColumnLimit Json = new() { MaxBytes = 48 * 1024 * 1024, Json = new JsonLimit { MaxDepth = 500, UnpairedSurrogates = false } };

    /// <summary>As it stands in SQL.</summary>
    public string Sql => IsArray ? $"ARRAY<{Name}>" : Name;

    /// <summary>Of the column in the table that rows are staged in. JSON stays text there: load jobs of Parquet have no column of type JSON.</summary>
    public BigQueryType Staged => Name == "JSON" ? this with { Name = "STRING" } : this;

    /// <summary>Whether rows can be told apart, ordered and grouped by it.</summary>
    public bool IsComparable => !IsArray && Name is not ("JSON" or "FLOAT64" or "GEOGRAPHY" or "STRUCT");

    /// <summary>The type of a new column.</summary>
    /// <exception cref="UserErrorException">BigQuery has none.</exception>
    public static BigQueryType Of(Field field) => Of(field.DataType, SourceTypes.Of(field)) ?? throw new UserErrorException(
        "columns",
        $"Column \"{field.Name}\" is of the Arrow type {field.DataType.Name}, which the exporter cannot write to BigQuery.",
        "Cast it in the column's expression, for instance with toString().");

    /// <summary>What a new column cannot hold; null when it holds all that comes.</summary>
    public static ColumnLimit? LimitOf(Field field) => (field.DataType, Of(field).Name) switch
    {
        (StringType, "JSON") => Json,
        (StringType, "BYTES") => Bytes,
        (StringType, _) or (ListType, _) => Text,
        _ => null,
    };

    /// <summary>A column for the API: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema. Its answers have the older names.</summary>
    public JsonObject Field(string name) => new()
    {
        ["name"] = name,
        ["type"] = Name switch { "INT64" => "INTEGER", "FLOAT64" => "FLOAT", "BOOL" => "BOOLEAN", _ => Name },
        ["mode"] = IsArray ? "REPEATED" : "NULLABLE",
    };

    /// <summary>A type as the API says it.</summary>
    public static BigQueryType Of(JsonObject field)
    {
        var name = field["type"]!.GetValue<string>().ToUpperInvariant() switch
        {
            "INTEGER" => "INT64",
            "FLOAT" => "FLOAT64",
            "BOOLEAN" => "BOOL",
            "RECORD" => "STRUCT",
            var other => other,
        };
        return new BigQueryType(name, Number(field["precision"] ?? field["maxLength"]), Number(field["scale"]), field["mode"]?.GetValue<string>() == "REPEATED");
    }

    /// <summary>Whether a column of this type that is there takes every value of another type, also those that are not there yet.</summary>
    public bool Takes(BigQueryType other) => (Name, other.Name) switch
    {
        ("JSON", "JSON" or "STRING") when !IsArray && !other.IsArray => true,
        ("JSON", _) when !IsArray && other.IsArray => true,
        _ when IsArray || other.IsArray => IsArray && other.IsArray && Name == other.Name && Precision == 0,
        ("NUMERIC" or "BIGNUMERIC", "INT64" or "NUMERIC" or "BIGNUMERIC") => Whole >= other.Whole && Behind >= other.Behind,
        ("STRING", "STRING" or "JSON") or ("BYTES", "BYTES") => Precision == 0,
        _ => Name == other.Name && Name is not "STRUCT",
    };

    /// <summary>What stands for a staged column when rows go to a column of this type.</summary>
    /// <param name="column">Its name in SQL.</param>
    /// <param name="export">The export's type.</param>
    public string FromStage(string column, BigQueryType export) => (Name, export.Name) switch
    {
        ("JSON", _) when export.IsArray && !IsArray => $"TO_JSON({column})",

        // Without "round" a number with more digits than a double is an error: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#parse_json.
        ("JSON", _) => $"PARSE_JSON({column}, wide_number_mode=>'round')",
        ("NUMERIC" or "BIGNUMERIC", var from) when from != Name && !IsArray => $"CAST({column} AS {Name})",
        _ => column,
    };

    public override string ToString() => (Precision, Scale, IsArray) switch
    {
        ( > 0, > 0, false) => string.Create(CultureInfo.InvariantCulture, $"{Name}({Precision},{Scale})"),
        ( > 0, _, false) => string.Create(CultureInfo.InvariantCulture, $"{Name}({Precision})"),
        _ => Sql,
    };

    private int Whole => (Name, Precision) switch { ("INT64", _) => 19, ("NUMERIC", 0) => NumericWhole, ("BIGNUMERIC", 0) => BigWhole, _ => Precision - Scale };

    private int Behind => (Name, Precision) switch { ("INT64", _) => 0, ("NUMERIC", 0) => NumericScale, ("BIGNUMERIC", 0) => BigScale, _ => Scale };

    private static int Number(JsonNode? node) => node is null ? 0 : int.Parse(node.ToString(), CultureInfo.InvariantCulture);

    // Types of Arrow first; what it has no type for arrives as text, and BigQuery may have one.
    private static BigQueryType? Of(IArrowType arrow, string? source) => arrow switch
    {
        BooleanType => new("BOOL"),
        Int8Type or UInt8Type or Int16Type or UInt16Type or Int32Type or UInt32Type or Int64Type => new("INT64"),
        UInt64Type => new("NUMERIC", 20),
        HalfFloatType or FloatType or DoubleType => new("FLOAT64"),
        Decimal32Type type => Decimal(type.Precision, type.Scale),
        Decimal64Type type => Decimal(type.Precision, type.Scale),
        Decimal128Type type => Decimal(type.Precision, type.Scale),
        Date32Type => new("DATE"),
        TimestampType => new("TIMESTAMP"),
        BinaryType or FixedSizeBinaryType => new("BYTES"),
        StringType => OfText(source),

        // An array of BigQuery's holds neither nothing nor arrays.
        ListType list => SourceTypes.ElementOf(source) is not ({ } element) || TypeText.Split(element).Name is "Nullable" || element.StartsWith("LowCardinality(Nullable(", StringComparison.Ordinal)
            ? new("JSON")
            : Of(list.ValueDataType, element) is { IsArray: false, Name: not "JSON" } scalar ? scalar with { IsArray = true } : new("JSON"),
        StructType or MapType or LargeListType => new("JSON"),
        _ => null,
    };

    // https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions: the first of NUMERIC and BIGNUMERIC that fits.
    private static BigQueryType Decimal(int precision, int scale) => precision - scale <= NumericWhole && scale <= NumericScale
        ? new("NUMERIC", precision, scale)
        : new("BIGNUMERIC", precision, scale);

    private static BigQueryType OfText(string? source)
    {
        if (source is null)
        {
            return new("STRING");
        }

        // States of aggregates are text, in hexadecimal; of a FixedString all bytes count, of which the last may be zero.
        var (name, _) = SourceTypes.Plain(source);
        return name == "AggregateFunction" ? new("STRING")
            : SourceTypes.IsDocument(source) ? new("JSON")
            : name == "FixedString" ? new("BYTES")
            : new("STRING");
    }
}

/// <summary>A column of the export in the table that it goes to.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">The export's type.</param>
/// <param name="Target">Its type in the table.</param>
/// <param name="IsNullable">Whether the export may have no value there.</param>
internal sealed record BigQueryColumn(string Name, BigQueryType Type, BigQueryType Target, bool IsNullable);

/// <summary>A column that is there.</summary>
/// <param name="Name">Its name, in its own capitals.</param>
/// <param name="Type">Its type.</param>
/// <param name="IsNeeded">Whether it takes no row without a value for it.</param>
internal sealed record BigQueryColumnThere(string Name, BigQueryType Type, bool IsNeeded)
{
    public static BigQueryColumnThere Of(JsonObject field) => new(
        field["name"]!.GetValue<string>(), BigQueryType.Of(field), field["mode"]?.GetValue<string>() == "REQUIRED" && field["defaultValueExpression"] is null);
}
