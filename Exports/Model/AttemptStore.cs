using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Model;

/// <summary>Attempts of slices: what each has moved, while it goes on and afterwards.</summary>
public sealed class AttemptStore(NpgsqlDataSource data)
{
    private readonly ExportDatabase _database = new(data, "sql/attempts.sql");

    /// <summary>How far a run is, with its slices in progress; null when there is no such run.</summary>
    public Task<ProgressView?> ProgressAsync(Guid runId, CancellationToken cancellationToken = default) =>
        _database.ViewAsync<ProgressView>("FindProgress", new { RunId = runId }, cancellationToken);

    /// <summary>All attempts of a run's slices, in order.</summary>
    public Task<IReadOnlyList<AttemptView>> ListAsync(Guid runId, CancellationToken cancellationToken = default) =>
        _database.ViewsAsync<AttemptView>("ListAttempts", new { RunId = runId }, cancellationToken);

    /// <summary>An attempt begins. Earlier ones of its slice that have no end are lost, and what they sent is counted as sent again.</summary>
    internal Task BeginAsync(AttemptId id, CancellationToken cancellationToken) => _database.ExecuteAsync("BeginAttempt", id, cancellationToken);

    /// <summary>Writes how far an attempt is.</summary>
    internal Task SeeAsync(AttemptId id, Moved moved, CancellationToken cancellationToken) =>
        _database.ExecuteAsync("SeeAttempt", Of(id, moved), cancellationToken);

    /// <summary>An attempt has failed; what it sent is counted as sent again, once.</summary>
    internal Task FailAsync(AttemptId id, Moved moved, CancellationToken cancellationToken) =>
        _database.ExecuteAsync("FailAttempt", Of(id, moved), cancellationToken);

    /// <summary>An attempt has committed its slice.</summary>
    internal Task CommitAsync(NpgsqlTransaction transaction, AttemptId id, Moved moved, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(transaction, "CommitAttempt", Of(id, moved), cancellationToken);

    /// <summary>What an attempt that has failed or was lost is found to have committed: what it sent stays, and is not sent again.</summary>
    internal Task KeepAsync(NpgsqlTransaction transaction, AttemptId id, CancellationToken cancellationToken) =>
        _database.ExecuteAsync(transaction, "KeepAttempt", id, cancellationToken);

    private static object Of(AttemptId id, Moved moved) => new
    {
        id.RunId, id.Slice, id.EngineRunId, id.Epoch, id.Attempt, moved.Rows, moved.SourceBytes, moved.SentBytes, moved.KeptBytes,
    };
}

/// <summary>An attempt of a slice, by the run itself or by a later look at it, which is a run of the engine of its own.</summary>
internal sealed record AttemptId(Guid RunId, int Slice, Guid EngineRunId, long Epoch, int Attempt);

/// <summary>What an attempt has moved so far.</summary>
/// <param name="Rows">Rows that were given to the destination.</param>
/// <param name="SourceBytes">Bytes from the source.</param>
/// <param name="SentBytes">Bytes that were sent to the destination.</param>
/// <param name="KeptBytes">Of these, bytes that no later attempt sends again, should this one fail.</param>
internal readonly record struct Moved(long Rows, long SourceBytes, long SentBytes, long KeptBytes = 0)
{
    /// <summary>What it has moved at this moment.</summary>
    public static Moved Of(long rows, long sourceBytes, ISliceSink sink)
    {
        // First what is the less of both: they grow while they are read.
        var kept = sink.BytesKept;
        return new Moved(rows, sourceBytes, sink.BytesSent, kept);
    }
}

/// <summary>A row of <c>exports.progress</c>.</summary>
public sealed record ProgressView(
    Guid RunId, string BatchExport, string? State, int? Slices, int SlicesCommitted, int SlicesRunning, long? ExpectedRows, long Rows,
    long SentBytes, long SourceBytes, long ResentBytes, double? RowsPerSecond, double? SecondsLeft, DateTimeOffset? SeenAt);

/// <summary>A row of <c>exports.slice_attempts</c>.</summary>
public sealed record AttemptView(
    Guid RunId, string BatchExport, int Slice, Guid EngineRunId, long Epoch, int Attempt, string State, DateTimeOffset StartedAt, DateTimeOffset SeenAt,
    long Rows, long SourceBytes, long SentBytes, long KeptBytes);
