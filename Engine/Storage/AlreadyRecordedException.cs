namespace Exporter.Engine.Storage;

/// <summary>
/// A step's record was there before: an earlier commit, whose answer was lost or which came late, has done it. The caller's rows
/// of this transaction were rolled back; the record tells the output.
/// </summary>
internal sealed class AlreadyRecordedException(Guid runId, int place) : Exception($"Place {place} of run {runId} was recorded before.");
