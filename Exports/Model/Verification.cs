using Exporter.Exports.Sources;

namespace Exporter.Exports.Model;

/// <summary>What a later look at a finished run does.</summary>
public enum VerificationKind
{
    /// <summary>Counts again, and exports the slices again whose rows or keys changed.</summary>
    Verify,

    /// <summary>Counts again, and only says what changed.</summary>
    Compare,

    /// <summary>Exports the slices again that have rows which were put aside.</summary>
    Resend,
}

/// <summary>What a look came to.</summary>
public enum VerificationOutcome
{
    /// <summary>The source has what was exported.</summary>
    Unchanged,

    /// <summary>The source has other rows; nothing was done about it.</summary>
    Changed,

    /// <summary>Slices were exported again; the destination has what the source has now.</summary>
    ExportedAgain,

    /// <summary>The interval is another run's by now.</summary>
    Superseded,
}

/// <summary>What a run of the workflow <see cref="VerificationStore.Workflow"/> is started with.</summary>
public sealed record VerificationInput
{
    /// <summary>The batch export run that is looked at.</summary>
    public required Guid RunId { get; init; }

    /// <summary>What is to be done.</summary>
    public required VerificationKind Kind { get; init; }
}

/// <summary>What a look found.</summary>
/// <param name="Outcome">What it came to.</param>
/// <param name="Compared">Slices that were counted again.</param>
/// <param name="Changed">Slices that differed.</param>
/// <param name="LateRows">Rows more than were exported, in slices that have more.</param>
/// <param name="GoneRows">Rows fewer than were exported, in slices that have fewer.</param>
public sealed record VerificationOutput(VerificationOutcome Outcome, int Compared, int Changed, long LateRows, long GoneRows);

/// <summary>What a look works on.</summary>
internal sealed record VerificationOrder(RunOrder Order, IReadOnlyList<DescribedColumn> Columns, int Planned);
