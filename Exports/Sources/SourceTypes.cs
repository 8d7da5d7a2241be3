using Apache.Arrow;

namespace Exporter.Exports.Sources;

/// <summary>
/// The types that columns have at the source, on the fields of the schema: what Arrow has no type for arrives as text, and a
/// destination may have a type for it.
/// </summary>
internal static class SourceTypes
{
    private const string Key = "exporter:source_type";

    /// <summary>The schema with each column's type at the source; columns are in the same order, and what comes behind them stays.</summary>
    public static Schema On(Schema schema, IReadOnlyList<DescribedColumn> columns) => new(
        schema.FieldsList.Select((field, at) => at >= columns.Count ? field : new Field(
            field.Name, field.DataType, field.IsNullable, new Dictionary<string, string> { [Key] = columns[at].Type })),
        schema.Metadata);

    /// <summary>A field's type at the source; null when it is not known.</summary>
    public static string? Of(Field field) => field.Metadata?.GetValueOrDefault(Key);

    /// <summary>A type without what changes nothing of its values: Nullable, LowCardinality, SimpleAggregateFunction.</summary>
    public static (string Name, IReadOnlyList<string> Arguments) Plain(string type)
    {
        var (name, arguments) = TypeText.Split(type);
        return name switch
        {
            "Nullable" or "LowCardinality" => Plain(arguments[0]),
            "SimpleAggregateFunction" => Plain(arguments[^1]),
            _ => (name, arguments),
        };
    }

    /// <summary>The type of an array's elements; null when the type is not known, or is no array.</summary>
    public static string? ElementOf(string? type) => type is not null && Plain(type) is ("Array", [var element]) ? element : null;

    /// <summary>Whether values arrive as JSON text.</summary>
    public static bool IsDocument(string type) => ColumnCast.IsDocument(type, nested: false);
}
