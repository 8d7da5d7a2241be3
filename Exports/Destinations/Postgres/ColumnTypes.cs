using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Which type a column gets, and which other types take its values without losing any. Pure.</summary>
internal static class ColumnTypes
{
    /// <summary>The type of a new column.</summary>
    /// <exception cref="UserErrorException">PostgreSQL has none.</exception>
    public static PostgresType Of(Field field) => Of(field.DataType, SourceTypes.Of(field)) ?? throw new UserErrorException(
        "columns",
        $"Column \"{field.Name}\" is of the Arrow type {field.DataType.Name}, which the exporter cannot write to PostgreSQL.",
        "Cast it in the column's expression, for instance with toString().");

    /// <summary>What a new column cannot hold; null when it holds all that comes. Dates and instants of the source end long before PostgreSQL's.</summary>
    public static ColumnLimit? LimitOf(Field field) => (field.DataType, Of(field)) switch
    {
        (StringType, { Form: PostgresForm.Jsonb }) => new ColumnLimit { Json = new JsonLimit { ZeroBytes = false, UnpairedSurrogates = false } },

        // Texts in arrays, also in those that become JSON.
        (StringType, { Form: PostgresForm.Text }) or (ListType, _) => new ColumnLimit { ZeroBytes = false, Utf8 = true },
        _ => null,
    };

    /// <summary>Whether a column that is there takes every value of the field, also those that are not there yet.</summary>
    public static bool Takes(PostgresType column, Field field) => Takes(column, field.DataType, Of(field));

    private static bool Takes(PostgresType column, IArrowType arrow, PostgresType own)
    {
        if (column.Name == own.Name && column.Bounds is null)
        {
            return own.Form != PostgresForm.Array || Takes(column.Element!, ((ListType)arrow).ValueDataType, own.Element!);
        }

        return (own.Form, column.Form) switch
        {
            (PostgresForm.SmallInt or PostgresForm.Integer or PostgresForm.BigInt, PostgresForm.SmallInt or PostgresForm.Integer or PostgresForm.BigInt) =>
                column.Form >= own.Form,
            (PostgresForm.SmallInt, PostgresForm.Numeric) => HasRoom(column, 5, 0),
            (PostgresForm.Integer, PostgresForm.Numeric) => HasRoom(column, 10, 0),
            (PostgresForm.BigInt, PostgresForm.Numeric) => HasRoom(column, 19, 0),
            (PostgresForm.Numeric, PostgresForm.Numeric) => own.Bounds is { } bounds ? HasRoom(column, bounds.Precision, bounds.Scale) : column.Bounds is null,
            (PostgresForm.Real, PostgresForm.Double) => true,

            // Text that has a type of its own at the source, and an array, may stay text or JSON.
            (PostgresForm.Text, PostgresForm.Text or PostgresForm.Jsonb or PostgresForm.Uuid or PostgresForm.Inet) => true,
            (PostgresForm.Text, PostgresForm.Numeric) => column.Bounds is null,
            (PostgresForm.Jsonb or PostgresForm.Uuid or PostgresForm.Inet or PostgresForm.Numeric or PostgresForm.Bytea, PostgresForm.Text) => arrow is StringType,
            (PostgresForm.Array, PostgresForm.Jsonb) => true,
            (PostgresForm.Array, PostgresForm.Array) => Takes(column.Element!, ((ListType)arrow).ValueDataType, own.Element!),
            _ => false,
        };
    }

    private static bool HasRoom(PostgresType column, int precision, int scale) =>
        column.Bounds is not { } bounds || (bounds.Scale >= scale && bounds.Precision - bounds.Scale >= precision - scale);

    private static PostgresType? Of(IArrowType arrow, string? source) => arrow switch
    {
        BooleanType => PostgresType.Of("boolean"),
        Int8Type or UInt8Type or Int16Type => PostgresType.Of("smallint"),
        UInt16Type or Int32Type => PostgresType.Of("integer"),
        UInt32Type or Int64Type => PostgresType.Of("bigint"),
        UInt64Type => PostgresType.Decimal(20, 0),
        HalfFloatType or FloatType => PostgresType.Of("real"),
        DoubleType => PostgresType.Of("double precision"),
        Decimal32Type type => PostgresType.Decimal(type.Precision, type.Scale),
        Decimal64Type type => PostgresType.Decimal(type.Precision, type.Scale),
        Decimal128Type type => PostgresType.Decimal(type.Precision, type.Scale),
        Date32Type => PostgresType.Of("date"),
        TimestampType type => PostgresType.Of(type.Timezone is null ? "timestamp without time zone" : "timestamp with time zone"),
        BinaryType or FixedSizeBinaryType => PostgresType.Of("bytea"),
        StringType => OfText(source),
        ListType { ValueDataType: ListType or StructType or MapType } or StructType or MapType => PostgresType.Json,
        ListType list => Of(list.ValueDataType, SourceTypes.ElementOf(source))?.ToArray(),
        _ => null,
    };

    // What Arrow has no type for arrives as text; PostgreSQL may have one.
    private static PostgresType OfText(string? source)
    {
        if (source is null)
        {
            return PostgresType.Text;
        }

        var (name, arguments) = SourceTypes.Plain(source);
        return name switch
        {
            // Its state, in hexadecimal.
            "AggregateFunction" => PostgresType.Text,
            _ when SourceTypes.IsDocument(source) => PostgresType.Json,
            "UUID" => PostgresType.Of("uuid"),

            // All of its bytes, of which the last may be zero.
            "FixedString" => PostgresType.Of("bytea"),
            "IPv4" or "IPv6" => PostgresType.Of("inet"),
            "Int128" or "Int256" or "UInt128" or "UInt256" => PostgresType.Number,
            "Decimal" => PostgresType.Decimal(
                int.Parse(arguments[0], System.Globalization.CultureInfo.InvariantCulture), int.Parse(arguments[1], System.Globalization.CultureInfo.InvariantCulture)),
            _ => PostgresType.Text,
        };
    }
}
