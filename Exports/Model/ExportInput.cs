namespace Exporter.Exports.Model;

/// <summary>What a run of the workflow <see cref="Workflow"/> is started with.</summary>
public sealed record ExportInput
{
    /// <summary>The workflow's name.</summary>
    public const string Workflow = "batch-export";

    /// <summary>The queue of batch export runs.</summary>
    public const string Queue = "exports";

    /// <summary>The batch export. Its data interval is in <c>exports.run</c>, or follows from the occurrence that started the run.</summary>
    public required Guid BatchExportId { get; init; }
}
