namespace Exporter.Exports.Model;

/// <summary>What is to be changed of a batch export; what is null stays as it is. The next run has it: one that has begun keeps what it began
/// with. Its name and its destination stay for good, since what it has exported is found by them.</summary>
public sealed record BatchExportEdit
{
    /// <summary>What leaves the source. The cursor column cannot be another one once there are runs, since intervals are ranges of it.</summary>
    public SourceModel? Model { get; init; }

    /// <summary>How rows become bytes.</summary>
    public FormatOptions? Format { get; init; }

    /// <summary>How a run works.</summary>
    public ExportSettings? Settings { get; init; }

    /// <summary>When it runs and how it cuts time, without start: the first interval of the new schedule begins where the first one begins that
    /// the old one has not started, so no time is left out and none comes twice. A paused export stays paused.</summary>
    public ExportSchedule? Schedule { get; init; }

    /// <summary>Refuses the edit when somebody has changed the export since: <see cref="BatchExportView.UpdatedAt"/> as it was read. Default
    /// null: the last edit wins.</summary>
    public DateTimeOffset? UnchangedSince { get; init; }
}
