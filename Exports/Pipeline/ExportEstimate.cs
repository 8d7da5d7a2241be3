using Exporter.Exports.Model;

namespace Exporter.Exports.Pipeline;

/// <summary>What exporting a range would move, before anything moves.</summary>
internal sealed record ExportEstimate
{
    /// <summary>The range, cut at the schedule's boundaries into <see cref="Intervals"/>.</summary>
    public required DataInterval Range { get; init; }

    /// <summary>Intervals of the range.</summary>
    public required int Intervals { get; init; }

    /// <summary>Of these, intervals that the destination has already; they are left out unless they are to be replaced.</summary>
    public required int Covered { get; init; }

    /// <summary>Runs that would be started.</summary>
    public required int Runs { get; init; }

    /// <summary>Rows of these runs, counted at the source after filter and dedup.</summary>
    public required long Rows { get; init; }

    /// <summary>About how many bytes the rows have in the source, uncompressed, from a few of them; null when there are no rows.</summary>
    public long? SourceBytes { get; init; }

    /// <summary>About how many bytes there will be at the destination, from what earlier runs made of a row; null when there were none.</summary>
    public long? WrittenBytes { get; init; }

    /// <summary>About how many slices, each of which is a file where the destination has files.</summary>
    public required long Slices { get; init; }

    /// <summary>About how long it takes, one run after another at the pace of the latest runs; null when there were none.</summary>
    public TimeSpan? Time { get; init; }

    /// <summary>The columns that would be written, with their types at the source.</summary>
    public required IReadOnlyList<EstimatedColumn> Columns { get; init; }

    /// <summary>The intervals with their rows, in order.</summary>
    public required IReadOnlyList<EstimatedInterval> Each { get; init; }

    /// <summary>Intervals at the destination that overlap one of the range in part, so that its run would be refused; none most of the time.</summary>
    public required IReadOnlyList<DataInterval> InTheWay { get; init; }
}

/// <summary>A column that would be written.</summary>
/// <param name="Name">Its name at the destination.</param>
/// <param name="Type">Its type at the source.</param>
internal sealed record EstimatedColumn(string Name, string Type);

/// <summary>An interval of the range.</summary>
/// <param name="Start">Its first instant.</param>
/// <param name="End">The first instant after it.</param>
/// <param name="Covered">Whether the destination has it.</param>
/// <param name="Rows">Rows at the source; null when it is left out, and was not counted.</param>
internal sealed record EstimatedInterval(DateTimeOffset Start, DateTimeOffset End, bool Covered, long? Rows);
