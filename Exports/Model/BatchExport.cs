using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>What leaves the source, how, where to, and when.</summary>
public sealed record BatchExport
{
    /// <summary>Its id. Default a new one, ordered by time.</summary>
    public Guid Id { get; init; } = Guid.CreateVersion7();

    /// <summary>Its name, unique among batch exports; see <see cref="ModelName"/>.</summary>
    public required string Name { get; init; }

    /// <summary>Where its rows go.</summary>
    public required Guid DestinationId { get; init; }

    /// <summary>What leaves the source.</summary>
    public required SourceModel Model { get; init; }

    /// <summary>How rows become bytes. Default Parquet with zstd.</summary>
    public FormatOptions Format { get; init; } = new();

    /// <summary>When, and how time is cut into data intervals.</summary>
    public required ExportSchedule Schedule { get; init; }

    /// <summary>How a run works.</summary>
    public ExportSettings Settings { get; init; } = new();

    /// <summary>Whether its schedule is paused. Default false.</summary>
    public bool Paused { get; init; }

    /// <summary>Why it is paused. Default none.</summary>
    public string? Note { get; init; }

    /// <summary>The id of its schedule in the engine.</summary>
    public string ScheduleId => ScheduleIdOf(Id);

    /// <summary>The id of an export's schedule in the engine.</summary>
    public static string ScheduleIdOf(Guid batchExportId) => $"export:{batchExportId}";

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public BatchExport Validate()
    {
        ModelName.Check("name", Name);
        ModelCheck.Model(Model);
        FormatCheck.Validate(Format);
        Schedule.Validate();
        Settings.Validate();
        return this;
    }
}

/// <summary>How a run works.</summary>
public sealed record ExportSettings
{
    /// <summary>Slices of a run that are exported at once. Default 4; from 1 to 64.</summary>
    public int ParallelSlices { get; init; } = 4;

    /// <summary>About how many bytes a slice has in the source, uncompressed. Default 64 MiB; from 1 KiB to 16 GiB. An attempt that
    /// fails repeats one slice.</summary>
    public long TargetSliceBytes { get; init; } = 64L << 20;

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public ExportSettings Validate()
    {
        ModelCheck.Range("parallel_slices", ParallelSlices, 1, 64);
        ModelCheck.Range("target_slice_bytes", TargetSliceBytes, 1L << 10, 16L << 30);
        return this;
    }
}
