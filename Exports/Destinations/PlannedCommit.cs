using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>
/// What an attempt is about to make visible, recorded with its step just before it does. So the next attempt can look whether exactly that lies
/// there, though nobody was told; and who does not hold the run any more cannot record, and goes no further. For destinations of objects, which
/// keep no table of commits.
/// </summary>
/// <param name="Receipt">What the commit will answer.</param>
/// <param name="Writer">Whose bytes they are, where that is kept with them; of files nobody's.</param>
/// <param name="Note">What <see cref="ISliceSink.Note"/> was given.</param>
internal sealed record PlannedCommit(SliceReceipt Receipt, Guid Writer, string? Note)
{
    /// <summary>Of the attempt that records it.</summary>
    public long FencingToken { get; init; }

    /// <summary>The attempt that records it.</summary>
    public int Attempt { get; init; }

    /// <summary>Records it, where somebody keeps the step's progress.</summary>
    public Task RecordAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        var planned = this with { FencingToken = address.FencingToken, Attempt = address.Attempt };
        return address.Progress?.CommitAsync(new SliceDelivery { Progress = ExportJson.Write(planned) }, cancellationToken) ?? Task.CompletedTask;
    }

    /// <summary>The commit of an earlier attempt of the step; null when there was none or it is not what lies there.</summary>
    /// <param name="address">Which slice.</param>
    /// <param name="key">Where it lies.</param>
    /// <param name="isThere">Whether exactly this lies there, durably.</param>
    public static async Task<CommittedSlice?> FindAsync(SliceAddress address, string key, Func<PlannedCommit, Task<bool>> isThere) =>
        address.Progress?.Last is { } last && ExportJson.Read<PlannedCommit>(last) is var planned
        && planned.Receipt.File == key && await isThere(planned).ConfigureAwait(false)
            ? new CommittedSlice(planned.Receipt, planned.Note) { By = (planned.FencingToken, planned.Attempt) }
            : null;
}
