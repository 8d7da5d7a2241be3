using System.Text.Json.Nodes;
using Exporter.Engine.Client;

namespace Exporter.Exports.Model;

/// <summary>A row of <c>exports.destinations</c>.</summary>
public sealed record DestinationView(
    Guid DestinationId, string Name, string Kind, JsonObject Settings, IReadOnlyList<string> SecretNames, DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt, string Project);

/// <summary>A row of <c>exports.projects</c>.</summary>
public sealed record ProjectView(string Name, string CreatedBy, DateTimeOffset CreatedAt, int Destinations, int BatchExports);

/// <summary>A row of <c>exports.batch_exports</c>.</summary>
public sealed record BatchExportView(
    Guid BatchExportId, string Name, string Destination, Guid DestinationId, SourceModel Model, FormatOptions Format, ExportSchedule Schedule,
    ExportSettings Settings, bool Paused, string? Note, DateTimeOffset? NextOccurrence, DateTimeOffset? NextAt, DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt, DateTimeOffset? DeletedAt, string Project)
{
    /// <summary>The batch export itself.</summary>
    public BatchExport ToBatchExport() => new()
    {
        Id = BatchExportId,
        Project = Project,
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
    Guid? BackfillId, string? State, string? Phase, long? Epoch, int? Slices, int SlicesCommitted, int SlicesRunning, int SlicesSplit, int SlicesExportedAgain, long? ExpectedRows,
    long ExportedRows, long MovedRows, double? RowsPerSecond, double? SecondsLeft, long QuarantinedRows, long NulledValues, long BytesWritten, long SourceBytes,
    long ResentBytes, long? ReadBytes, long? SentBytes, long? PlanningReadRows, long? PlanningReadBytes, double? PlanningSeconds, long? LateRows,
    DateTimeOffset CreatedAt, DateTimeOffset? StartedAt, DateTimeOffset? PlannedAt, DateTimeOffset? FinishedAt, DateTimeOffset? VerifiedAt, string? Error, Guid? WorkerId, DateTimeOffset? CancelRequestedAt, string Project)
{
    /// <summary>The run's data interval.</summary>
    public DataInterval Interval() => new(IntervalStart, IntervalEnd);

    /// <summary>Whether nothing more becomes of it by itself.</summary>
    internal bool HasEnded() => State is null || RunStateText.Parse(State).IsFinal();
}

/// <summary>A row of <c>exports.slices</c>.</summary>
public sealed record SliceView(
    Guid RunId, string BatchExport, int Slice, int? SplitFrom, DateTimeOffset RangeStart, DateTimeOffset RangeEnd, int HashBucket, int HashBuckets,
    long ExpectedRows, string State, long? Rows, long QuarantinedRows, long NulledValues, long? SourceRows, string? SourceKeyHash,
    string? WrittenKeyHash, string? QuarantinedKeyHash, bool? Agrees, long? Bytes, string? File, string? Sha256, long? SourceBytes,
    long ResentBytes, long? ReadBytes, long? SentBytes, int ExportedAgain, int? Attempt, long? Epoch, DateTimeOffset? CommittedAt);

/// <summary>A row of <c>exports.coverage</c>, of one export.</summary>
internal sealed record CoverageView(
    DateTimeOffset IntervalStart, DateTimeOffset IntervalEnd, long Rows, long QuarantinedRows, Guid RunId, DateTimeOffset CommittedAt, DateTimeOffset? VerifiedAt);

/// <summary>A row of <c>exports.bad_rows</c>.</summary>
public sealed record BadRowView(
    Guid RunId, string BatchExport, int Slice, int Number, string ColumnName, string Reason, string? KeyHash, DateTimeOffset QuarantinedAt);

/// <summary>A row of <c>exports.verifications</c>.</summary>
public sealed record VerificationView(
    Guid VerificationId, Guid RunId, string BatchExport, DateTimeOffset IntervalStart, DateTimeOffset IntervalEnd, string Kind, string? State,
    string? Outcome, int? SlicesCompared, int? SlicesChanged, long? LateRows, long? GoneRows, string CreatedBy, DateTimeOffset CreatedAt,
    DateTimeOffset? BegunAt, DateTimeOffset? FinishedAt, string? Error);

/// <summary>A row of <c>exports.backfills</c>.</summary>
public sealed record BackfillView(
    Guid BackfillId, string BatchExport, Guid BatchExportId, DateTimeOffset StartAt, DateTimeOffset EndAt, int Intervals, int IntervalsStarted,
    int IntervalsCompleted, int Parallel, bool Replace, string? State, string? Error, Guid RunId, string CreatedBy,
    DateTimeOffset CreatedAt, DateTimeOffset? StartedAt, DateTimeOffset? FinishedAt, string Project, bool NewestFirst)
{
    /// <summary>The backfill itself.</summary>
    public Backfill ToBackfill() => new()
    {
        Id = BackfillId,
        BatchExportId = BatchExportId,
        Range = new DataInterval(StartAt, EndAt),
        Parallel = Parallel,
        Replace = Replace,
        NewestFirst = NewestFirst,
    };
}
