using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>What a run does, recorded once: every attempt sees the same columns and the same slices.</summary>
/// <param name="Columns">The columns with their types as they were when the run was planned.</param>
/// <param name="Slices">In order, numbered from 0; none when the interval has no rows.</param>
internal sealed record ExportPlan(IReadOnlyList<DescribedColumn> Columns, IReadOnlyList<Slice> Slices)
{
    /// <summary>In which order the destination wants rows.</summary>
    public RowOrder Order { get; init; }
}

/// <summary>What a completed run answers.</summary>
/// <param name="Rows">Rows in the destination.</param>
/// <param name="Bytes">Bytes in the destination.</param>
/// <param name="Slices">Slices.</param>
/// <param name="LateRows">Rows that came between plan and export.</param>
internal sealed record ExportOutput(long Rows, long Bytes, int Slices, long LateRows);
