using System.Text.Json.Nodes;

namespace Exporter.Exports.Model;

/// <summary>A row of <c>exports.destinations</c>.</summary>
public sealed record DestinationView(
    Guid DestinationId, string Name, string Kind, JsonObject Settings, IReadOnlyList<string> SecretNames, DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt);

/// <summary>A row of <c>exports.batch_exports</c>.</summary>
public sealed record BatchExportView(
    Guid BatchExportId, string Name, string Destination, Guid DestinationId, SourceModel Model, FormatOptions Format, ExportSchedule Schedule,
    ExportSettings Settings, bool Paused, string? Note, DateTimeOffset? NextOccurrence, DateTimeOffset? NextAt, DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt, DateTimeOffset? DeletedAt)
{
    /// <summary>The batch export itself.</summary>
    public BatchExport ToBatchExport() => new()
    {
        Id = BatchExportId,
        Name = Name,
        DestinationId = DestinationId,
        Model = Model,
        Format = Format,
        Schedule = Schedule,
        Settings = Settings,
        Paused = Paused,
        Note = Note,
    };
}

/// <summary>A row of <c>exports.runs</c>.</summary>
public sealed record RunView(
    Guid RunId, string BatchExport, Guid BatchExportId, string Destination, DateTimeOffset IntervalStart, DateTimeOffset IntervalEnd, string Trigger,
    Guid? BackfillId, string? State, long? Epoch, int? Slices, int SlicesCommitted, long? ExpectedRows, long ExportedRows,
    long BytesWritten, long SourceBytes, long ResentBytes, long? LateRows, DateTimeOffset CreatedAt, DateTimeOffset? StartedAt,
    DateTimeOffset? PlannedAt, DateTimeOffset? FinishedAt, string? Error, Guid? WorkerId, DateTimeOffset? CancelRequestedAt)
{
    /// <summary>The run's data interval.</summary>
    public DataInterval Interval() => new(IntervalStart, IntervalEnd);
}

/// <summary>A row of <c>exports.slices</c>.</summary>
public sealed record SliceView(
    Guid RunId, string BatchExport, int Slice, DateTimeOffset RangeStart, DateTimeOffset RangeEnd, int HashBucket, int HashBuckets,
    long ExpectedRows, string State, long? Rows, long? Bytes, string? File, string? Sha256, long? SourceBytes, long ResentBytes,
    int? Attempt, long? Epoch, DateTimeOffset? CommittedAt);

/// <summary>A row of <c>exports.backfills</c>.</summary>
public sealed record BackfillView(
    Guid BackfillId, string BatchExport, Guid BatchExportId, DateTimeOffset StartAt, DateTimeOffset EndAt, int Intervals, int IntervalsStarted,
    int IntervalsCompleted, int Parallel, bool Replace, string? State, string? Error, Guid RunId, string CreatedBy,
    DateTimeOffset CreatedAt, DateTimeOffset? StartedAt, DateTimeOffset? FinishedAt)
{
    /// <summary>The backfill itself.</summary>
    public Backfill ToBackfill() => new()
    {
        Id = BackfillId,
        BatchExportId = BatchExportId,
        Range = new DataInterval(StartAt, EndAt),
        Parallel = Parallel,
        Replace = Replace,
    };
}
