using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Exporter.Engine.Workflows;

/// <summary>What one attempt of a step sees.</summary>
public interface IStepContext
{
    /// <summary>The run's id.</summary>
    Guid RunId { get; }

    /// <summary>The step's name.</summary>
    string Name { get; }

    /// <summary>The step's place in the run's record, from 0.</summary>
    int Place { get; }

    /// <summary>This attempt's number, from 1.</summary>
    int Attempt { get; }

    /// <summary>Grows at every claim of the run; a system that remembers the highest one can refuse a zombie.</summary>
    long FencingToken { get; }

    /// <summary>The same for every attempt of this step and for no other step: run id and place.</summary>
    string IdempotencyKey { get; }

    /// <summary>Fires at a timeout of this attempt, at cancel, when the lease is lost and at shutdown. Honour it everywhere.</summary>
    CancellationToken CancellationToken { get; }

    /// <summary>The last checkpoint that any attempt of this step has committed.</summary>
    bool TryGetCheckpoint<T>([MaybeNullWhen(false)] out T checkpoint);

    /// <summary>
    /// Commits how far this step is. Durable when it returns; the next attempt starts from it. Commit only after the
    /// destination has durably committed. Also a sign of life.
    /// </summary>
    /// <param name="checkpoint">Replaces the last one.</param>
    /// <param name="alongside">The caller's own rows, in the same transaction as the checkpoint; may be called again if the
    /// transaction is known to have failed.</param>
    /// <exception cref="LeaseLostException">Another worker holds the run now; nothing was written.</exception>
    Task CommitAsync<T>(T checkpoint, Func<NpgsqlTransaction, CancellationToken, Task>? alongside = null);

    /// <summary>A sign of life; postpones the heartbeat timeout. Cheap: call it for every batch.</summary>
    void Heartbeat();

    /// <summary>Writes a line to the run's log.</summary>
    void Log(LogLevel level, string message);
}
