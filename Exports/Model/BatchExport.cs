using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>What leaves the source, how, where to, and when.</summary>
public sealed record BatchExport
{
    /// <summary>Its id. Default a new one, ordered by time.</summary>
    public Guid Id { get; init; } = Guid.CreateVersion7();

    /// <summary>Its project. Default <see cref="ProjectStore.Default"/>; a store sets its own.</summary>
    public string Project { get; init; } = ProjectStore.Default;

    /// <summary>Its name, unique among batch exports of the project; see <see cref="ModelName"/>.</summary>
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

    /// <summary>Its name at destinations, unique among all: with the project before it, unless that is the usual one. No name has a slash.</summary>
    internal string PlaceName => Project == ProjectStore.Default ? Name : $"{Project}/{Name}";

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

    /// <summary>The most bytes of a file, as it lies in the destination. Slices are made so small that their files are expected to be
    /// smaller, going by what earlier runs wrote; one whose file is larger all the same is split, while its rows can be told apart.
    /// Default none; from 1 KiB to 1 TiB.</summary>
    public long? MaxFileBytes { get; init; }

    /// <summary>How long an attempt of a slice may take before the slice is split in two. Default 30 minutes; from 1 second to 1 day.</summary>
    public TimeSpan MaxSliceTime { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>What becomes of a row with a value that the destination cannot hold. Default <see cref="BadRowPolicy.Fail"/>.</summary>
    public BadRowPolicy BadRows { get; init; }

    /// <summary>A run with more quarantined rows than this in one slice fails. Default 1,000; from 1 to 100,000.</summary>
    public int MaxBadRows { get; init; } = 1_000;

    /// <summary>How long after its end a run is compared with the source again, and slices that changed are exported again. Default zero,
    /// which is never; to 30 days.</summary>
    public TimeSpan VerifyAfter { get; init; }

    /// <summary>How long after its end an interval has to be at the destination; later the export is late, which is told to who wants to know. Settle
    /// delay, jitter and the run itself are within it. Default none; from 1 minute to 30 days.</summary>
    public TimeSpan? LateAfter { get; init; }

    /// <summary>After how many intervals in a row that failed, so that somebody has to change something, the export pauses itself. Default by the
    /// length of the interval: 24, from a day on 7, from a week on 4. From 0, which is never, to 1,000. Backfills do not count.</summary>
    public int? PauseAfterFailures { get; init; }

    /// <summary>The most rows that the export's runs of a day by UTC may plan, backfills among them; a run that would be more fails before it moves
    /// anything. Default none; at least 1.</summary>
    public long? MaxRowsPerDay { get; init; }

    /// <summary>The same for bytes in the source, uncompressed, going by a few rows. Default none; at least 1 KiB.</summary>
    public long? MaxBytesPerDay { get; init; }

    /// <summary><see cref="PauseAfterFailures"/>, or its default for runs of an interval like this one.</summary>
    internal int FailuresToPause(DataInterval interval) => PauseAfterFailures ?? (interval.End - interval.Start) switch
    {
        var length when length >= TimeSpan.FromDays(7) => 4,
        var length when length >= TimeSpan.FromHours(23) => 7,
        _ => 24,
    };

    /// <summary>Throws when a value is out of range, naming setting, value and range.</summary>
    /// <exception cref="UserErrorException">A value is out of the range that its property states.</exception>
    public ExportSettings Validate()
    {
        ModelCheck.Range("parallel_slices", ParallelSlices, 1, 64);
        ModelCheck.Range("target_slice_bytes", TargetSliceBytes, 1L << 10, 16L << 30);
        ModelCheck.Range("max_file_bytes", MaxFileBytes ?? 1L << 10, 1L << 10, 1L << 40);
        ModelCheck.Range("max_slice_time", MaxSliceTime, TimeSpan.FromSeconds(1), TimeSpan.FromDays(1));
        ModelCheck.Range("max_bad_rows", MaxBadRows, 1, 100_000);
        ModelCheck.Range("verify_after", VerifyAfter, TimeSpan.Zero, TimeSpan.FromDays(30));
        ModelCheck.Range("late_after", LateAfter ?? TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), TimeSpan.FromDays(30));
        ModelCheck.Range("pause_after_failures", PauseAfterFailures ?? 0, 0, 1_000);
        ModelCheck.Range("max_rows_per_day", MaxRowsPerDay ?? 1, 1, long.MaxValue);
        ModelCheck.Range("max_bytes_per_day", MaxBytesPerDay ?? 1L << 10, 1L << 10, long.MaxValue);
        if (!Enum.IsDefined(BadRows))
        {
            throw new UserErrorException("bad_rows", $"There is no policy {BadRows} for bad rows.", "Use fail, null or quarantine.");
        }

        return this;
    }
}

/// <summary>What becomes of a row with a value that the destination cannot hold.</summary>
public enum BadRowPolicy
{
    /// <summary>The run fails, and says where.</summary>
    Fail,

    /// <summary>The value is exported as null, and counted.</summary>
    Null,

    /// <summary>The row is put aside with its reason, and counted; see <c>exports.bad_rows</c>.</summary>
    Quarantine,
}
