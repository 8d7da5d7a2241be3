using Apache.Arrow;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations;

/// <summary>
/// A place that rows go to. One instance serves one run in one process; several slices are open at once. The way of a slice:
/// open, write batches, commit; a slice that is disposed of without commit leaves nothing that a reader can see.
/// </summary>
public interface IDestination : IAsyncDisposable
{
    /// <summary>In which order rows must come. Default any: a slice is committed as a whole.</summary>
    RowOrder Order => RowOrder.Any;

    /// <summary>Whether schemas are to say of each field what its type was at the source, for types that Arrow has not. Default false.</summary>
    bool TakesSourceTypes => false;

    /// <summary>Whether Map, Tuple and Nested may come as Arrow's maps, structs and lists; else they come as JSON text. Default false.</summary>
    bool TakesNestedValues => false;

    /// <summary>Tries, step by step, what an export will do, and reports each; leaves nothing behind.</summary>
    IAsyncEnumerable<CheckResult> CheckAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Before a slice is read: finds what an earlier attempt of the same step has committed, though the answer was lost; then it is
    /// neither read nor written again. Destinations that cannot know answer null, and the slice replaces itself.
    /// </summary>
    Task<CommittedSlice?> ResumeSliceAsync(SliceAddress address, CancellationToken cancellationToken) => Task.FromResult<CommittedSlice?>(null);

    /// <summary>Opens a slice for writing. A slice may be opened again after any death of the one who had it open.</summary>
    Task<ISliceSink> OpenSliceAsync(SliceAddress address, Schema schema, CancellationToken cancellationToken);

    /// <summary>
    /// After every slice is committed: makes the run visible as a whole (manifest, merge), and removes what an earlier
    /// export of the same interval left that is not part of this one. May be repeated.
    /// </summary>
    Task FinishAsync(RunManifest manifest, CancellationToken cancellationToken);

    /// <summary>Removes what any attempt left of a slice, and keeps older attempts from committing it. May be repeated.</summary>
    async Task DiscardSliceAsync(SliceAddress address, CancellationToken cancellationToken)
    {
        // As a slice that became empty.
        var sink = await OpenSliceAsync(address, new Schema([], null), cancellationToken).ConfigureAwait(false);
        await using var closing = sink.ConfigureAwait(false);
        await sink.CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>What a column of this field can hold, where the destination holds less than Arrow does; null when it holds all.
    /// Rows with other values are handled as the export's <c>bad_rows</c> says, before they come to a sink.</summary>
    ColumnLimit? LimitOf(Field field) => null;

    /// <summary>Sorts an error of this destination by who has to act; null when it is not this destination's.</summary>
    ExportError? Classify(Exception exception);
}

/// <summary>A slice being written.</summary>
public interface ISliceSink : IAsyncDisposable
{
    /// <summary>Writes one batch. The caller disposes of the batch when this returns.</summary>
    ValueTask WriteAsync(RecordBatch batch, CancellationToken cancellationToken);

    /// <summary>Keeps a text with the commit that follows, for <see cref="IDestination.ResumeSliceAsync"/>. Destinations that find no commit
    /// again drop it.</summary>
    void Note(string note)
    {
    }

    /// <summary>Bytes that were sent to the destination so far, as far as they are known to have arrived; also after the sink was disposed of. 0
    /// where a destination does not count them.</summary>
    long BytesSent => 0;

    /// <summary>Of these, bytes that stay there whatever becomes of this attempt: no later one sends them again. 0 where a slice is
    /// committed as a whole.</summary>
    long BytesKept => 0;

    /// <summary>Makes the slice durable, once, under its own key; a repeat under the same address replaces it.</summary>
    Task<SliceReceipt> CommitAsync(CancellationToken cancellationToken);
}

/// <summary>A commit that was found again.</summary>
/// <param name="Receipt">What the commit answered.</param>
/// <param name="Note">What <see cref="ISliceSink.Note"/> kept with it; null when there was none.</param>
public sealed record CommittedSlice(SliceReceipt Receipt, string? Note)
{
    /// <summary>Fencing token and number of the attempt that committed it: what that one sent is not counted as sent again. Null when the destination
    /// does not know.</summary>
    public (long FencingToken, int Attempt)? By { get; init; }
}

/// <summary>Which slice of what; every key in a destination is derived from <paramref name="Export"/>,
/// <paramref name="Interval"/> and <paramref name="Slice"/> alone.</summary>
/// <param name="Export">The batch export's name.</param>
/// <param name="Interval">The run's data interval.</param>
/// <param name="Slice">The slice's number.</param>
/// <param name="Attempt">The attempt, from 1: only for temporary names and logs.</param>
/// <param name="FencingToken">Grows at every claim of the run.</param>
public sealed record SliceAddress(string Export, DataInterval Interval, int Slice, int Attempt, long FencingToken)
{
    /// <summary>The source's table, with its database or without; for names that have it. Default nothing.</summary>
    public string Table { get; init; } = "";

    /// <summary>Where a destination says how far it is with a slice that it delivers in pieces, or what it is about to commit. Null when nobody
    /// keeps it; then every attempt begins at the front.</summary>
    public ISliceProgress? Progress { get; init; }

    /// <summary>The same for every attempt of the step that exports the slice, and for no other step; null when it is not known.</summary>
    public string? StepKey { get; init; }
}

/// <summary>In which order rows come to a destination.</summary>
public enum RowOrder
{
    /// <summary>As the source is quickest; another one in every attempt.</summary>
    Any,

    /// <summary>Within a slice, the same in every attempt: by the cursor column, the key, and all other columns. Slices come side by side.</summary>
    InSlice,

    /// <summary>The same, and one slice after another.</summary>
    InRun,
}

/// <summary>What a whole run left in the destination.</summary>
public sealed record RunManifest
{
    /// <summary>The batch export's name.</summary>
    public required string Export { get; init; }

    /// <summary>The run's data interval.</summary>
    public required DataInterval Interval { get; init; }

    /// <summary>The source's table, as in <see cref="SliceAddress.Table"/>.</summary>
    public string Table { get; init; } = "";

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Every committed slice, in order.</summary>
    public required IReadOnlyList<SliceReceipt> Slices { get; init; }
}

/// <summary>One line of <c>exporter destination test</c>.</summary>
/// <param name="Step">What was tried: connect, permissions, write, read back, clean up.</param>
/// <param name="Ok">Whether it worked.</param>
/// <param name="Detail">What was found, or what is wrong and which setting to change.</param>
public sealed record CheckResult(string Step, bool Ok, string Detail);
