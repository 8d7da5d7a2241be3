using Apache.Arrow;
using Apache.Arrow.Types;

namespace Exporter.Exports.Destinations;

/// <summary>Rows of a slice as a warehouse reads them: columns in the types that it takes, and behind them what it needs besides.</summary>
internal sealed class StagedRows
{
    private readonly IReadOnlyList<Func<IArrowArray, IArrowArray>?> _conversions;
    private readonly bool _numbered;
    private readonly string? _mark;
    private long _rows;

    /// <summary>Looks at the types once.</summary>
    /// <param name="columns">Name, type and conversion of each column; null where a column stays as it comes.</param>
    /// <param name="number">The column with the number of a row in its slice; null for none.</param>
    /// <param name="mark">A column with the same text in every row, behind that; null for none.</param>
    public StagedRows(
        IEnumerable<(string Name, IArrowType Type, Func<IArrowArray, IArrowArray>? Convert)> columns, Field? number = null, (Field Field, string Value)? mark = null)
    {
        (_numbered, _mark) = (number is not null, mark?.Value);
        var staged = columns.ToList();
        _conversions = [.. staged.Select(column => column.Convert)];
        Schema = new Schema([.. staged.Select(column => new Field(column.Name, column.Type, nullable: true)), .. new[] { number, mark?.Field }.OfType<Field>()], null);
    }

    /// <summary>As rows are staged.</summary>
    public Schema Schema { get; }

    /// <summary>Rows as they are staged; good as long as the batch is.</summary>
    public RecordBatch Convert(RecordBatch batch)
    {
        var arrays = _conversions.Select((convert, at) => convert is null ? batch.Column(at) : convert(batch.Column(at))).ToList();
        if (_numbered)
        {
            arrays.Add(ConvertedArrays.Longs(batch.Length, row => _rows + row, _ => false));
        }

        if (_mark is not null)
        {
            arrays.Add(new StringArray.Builder().AppendRange(Enumerable.Repeat(_mark, batch.Length)).Build());
        }

        _rows += batch.Length;
        return new RecordBatch(Schema, arrays, batch.Length);
    }
}
