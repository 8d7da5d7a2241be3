using Exporter.Exports.Model;
using Microsoft.Extensions.Logging;

namespace Exporter.Exports.Pipeline;

/// <summary>
/// The record of one attempt of a slice: what it has moved is written every few seconds, beside the work and never in its way, and
/// when it ends. Disposed of without a commit, it has failed.
/// </summary>
internal sealed class SliceAttempt : IAsyncDisposable
{
    /// <summary>How old figures are at most, and so what is not known of a process that was killed.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(5);
    private readonly AttemptStore _store;
    private readonly AttemptId _id;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private Func<Moved> _moved = () => default;
    private Task _writing = Task.CompletedTask;
    private long _writtenAt;
    private bool _committed;

    private SliceAttempt(AttemptStore store, AttemptId id, TimeProvider time, ILogger log)
    {
        _store = store;
        _id = id;
        _time = time;
        _log = log;
        _writtenAt = time.GetTimestamp();
    }

    /// <summary>Begins it; those before it that have no end are lost.</summary>
    public static async Task<SliceAttempt> BeginAsync(
        AttemptStore store, AttemptId id, TimeProvider time, ILogger log, CancellationToken cancellationToken)
    {
        await store.BeginAsync(id, cancellationToken).ConfigureAwait(false);
        return new SliceAttempt(store, id, time, log);
    }

    /// <summary>From here on there is something that moves; it is asked also after it has ended.</summary>
    public void Of(Func<Moved> moved) => _moved = moved;

    /// <summary>Something has moved. Cheap: call it for every batch.</summary>
    public void Tick()
    {
        if (_writing.IsCompleted && _time.GetElapsedTime(_writtenAt) >= Interval)
        {
            _writtenAt = _time.GetTimestamp();
            _writing = WriteAsync(_moved());
        }
    }

    /// <summary>The slice is committed, in this transaction.</summary>
    public Task CommitAsync(Npgsql.NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        _store.CommitAsync(transaction, _id, _moved(), cancellationToken);

    /// <summary>That transaction is committed.</summary>
    public void Committed() => _committed = true;

    public async ValueTask DisposeAsync()
    {
        await _writing.ConfigureAwait(false);
        if (_committed)
        {
            return;
        }

        // Also when the commit's answer was lost: what is committed stays so.
        using var limit = new CancellationTokenSource(EndLimit, _time);
        try
        {
            await _store.FailAsync(_id, _moved(), limit.Token).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            // The next attempt says that this one is lost; why it failed matters more.
            PipelineLog.AttemptNotWritten(_log, _id.RunId, _id.Slice, error.Message);
        }
    }

    private async Task WriteAsync(Moved moved)
    {
        try
        {
            await _store.SeeAsync(_id, moved, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            PipelineLog.AttemptNotWritten(_log, _id.RunId, _id.Slice, error.Message);
        }
    }
}
