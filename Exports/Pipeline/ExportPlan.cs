using Exporter.Exports.Destinations;
using Exporter.Exports.Model;
using Exporter.Exports.Sources;

namespace Exporter.Exports.Pipeline;

/// <summary>What a run does, recorded once: every attempt sees the same columns and the same slices.</summary>
/// <param name="Columns">The columns with their types as they were when the run was planned.</param>
/// <param name="Slices">In order, numbered from 0; at least one.</param>
internal sealed record ExportPlan(IReadOnlyList<DescribedColumn> Columns, IReadOnlyList<Slice> Slices)
{
    /// <summary>In which order the destination wants rows.</summary>
    public RowOrder RowOrder { get; init; }

    /// <summary>About how many bytes the rows have in the source, uncompressed; null when there are none.</summary>
    public long? ExpectedBytes { get; init; }
}

/// <summary>What all slices of a run have in common.</summary>
/// <param name="RunId">The batch export run that they belong to.</param>
/// <param name="Order">What it is to do.</param>
/// <param name="Columns">The columns with their types.</param>
/// <param name="Planned">How many slices its plan has.</param>
/// <param name="RowOrder">In which order the destination wants rows.</param>
internal sealed record RunWork(Guid RunId, RunOrder Order, IReadOnlyList<DescribedColumn> Columns, int Planned, RowOrder RowOrder)
{
    /// <summary>Whether a slice is delivered in pieces: what was sent cannot be replaced.</summary>
    public bool InPieces => RowOrder != RowOrder.Any;
}

/// <summary>What became of a slice: it was exported, or split in two.</summary>
/// <param name="Receipt">What it left in the destination; null when it was split.</param>
/// <param name="Halves">The slices that take its place; null when it was exported.</param>
/// <param name="Progress">While it is neither: what a destination that delivers in pieces said last of how far it is.</param>
/// <param name="Splitting">Only that it is to be split is recorded, and how: from then on nobody exports the whole.</param>
internal sealed record SliceOutcome(SliceReceipt? Receipt, IReadOnlyList<Slice>? Halves, string? Progress = null, bool Splitting = false);

/// <summary>A slice that is in the destination.</summary>
/// <param name="Slice">The slice, with what the source had of it when it was counted last.</param>
/// <param name="Receipt">What it left in the destination.</param>
internal sealed record ExportedSlice(Slice Slice, SliceReceipt Receipt)
{
    /// <summary>Rows that were read of it.</summary>
    public long Rows => Receipt.Rows + Receipt.QuarantinedRows;

    /// <summary>Whether the rows and keys that were written and put aside are those of the source; false when they were not counted.</summary>
    public bool Agrees => Rows == Slice.ExpectedRows && Slice.ExpectedKeyHash is { } source
        && source == unchecked((Receipt.KeyHash ?? 0) + (Receipt.QuarantinedKeyHash ?? 0));
}

/// <summary>What a completed run answers.</summary>
/// <param name="Rows">Rows in the destination.</param>
/// <param name="Bytes">Bytes in the destination.</param>
/// <param name="Slices">Slices.</param>
/// <param name="LateRows">Rows that came between plan and export.</param>
/// <param name="QuarantinedRows">Rows that the destination cannot hold and that were put aside.</param>
/// <param name="NulledValues">Values that it cannot hold and that became null.</param>
internal sealed record ExportOutput(long Rows, long Bytes, int Slices, long LateRows, long QuarantinedRows, long NulledValues);
