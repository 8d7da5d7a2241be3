using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>A range of time that is exported as one run per interval of the schedule, in order of time.</summary>
public sealed record Backfill
{
    /// <summary>No backfill has more intervals.</summary>
    public const int MostIntervals = 100_000;

    /// <summary>Its id. Default a new one, ordered by time.</summary>
    public Guid Id { get; init; } = Guid.CreateVersion7();

    /// <summary>The batch export.</summary>
    public required Guid BatchExportId { get; init; }

    /// <summary>From one boundary of the schedule to another.</summary>
    public required DataInterval Range { get; init; }

    /// <summary>Runs at once. Default 1; from 1 to 100.</summary>
    public int Parallel { get; init; } = 1;

    /// <summary>Whether intervals that are covered are exported again, in place. Default false: they are left out.</summary>
    public bool Replace { get; init; }

    /// <summary>Whether the latest interval comes first. Default false: the oldest does.</summary>
    public bool NewestFirst { get; init; }

    /// <summary>The runs of the backfill, in the order in which they are started.</summary>
    /// <param name="schedule">The export's schedule.</param>
    /// <param name="now">The database's time: what has not ended cannot be exported.</param>
    /// <exception cref="UserErrorException">The range is not one that can be exported.</exception>
    public IReadOnlyList<DataInterval> Intervals(ExportSchedule schedule, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        ModelCheck.Range("parallel", Parallel, 1, 100);
        schedule.CheckBoundaries(Range);
        if (Range.End > now)
        {
            throw new UserErrorException("end", $"The end of {Range} has not come yet.", "Choose an end that is not after the present.");
        }

        var intervals = schedule.IntervalsOf(Range).Take(MostIntervals + 1).ToList();
        if (NewestFirst)
        {
            intervals.Reverse();
        }

        return intervals.Count <= MostIntervals ? intervals : throw new UserErrorException(
            "start", $"{Range} has more than {MostIntervals:N0} intervals of the schedule, {schedule}.", "Make several backfills of shorter ranges.");
    }
}
