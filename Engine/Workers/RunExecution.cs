using System.Collections.Concurrent;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>A run in this worker, from its claim until it is left.</summary>
internal sealed class RunExecution : IDisposable
{
    private readonly CancellationTokenSource _cancel = new();
    private readonly CancellationTokenSource _drop = new();
    private readonly CancellationTokenSource _shielded;
    private readonly CancellationTokenSource _stop;
    private readonly WorkerServices _services;
    private volatile bool _isStopping;
    private volatile bool _isGone;

    public RunExecution(ClaimedRun claimed, WorkerServices services, CancellationToken lost)
    {
        Claimed = claimed;
        _services = services;
        _shielded = CancellationTokenSource.CreateLinkedTokenSource(lost, _drop.Token);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(_shielded.Token, _cancel.Token);
        ShieldedToken = _shielded.Token;
        CancellationToken = _stop.Token;
        Activity = new RunActivity(services.Time, services.Options.LongestWaitInSlot);
        Steps = new StepRunner(this, services);
        Events = new RunEvents(this, services);
        HadOpenSteps = claimed.Begun.Count > 0;
        HasFamily = claimed.HasParent || claimed.HasChildren;
        if (claimed.CancelRequested)
        {
            _cancel.Cancel();
        }
    }

    public ClaimedRun Claimed { get; }

    public RunActivity Activity { get; }

    public StepRunner Steps { get; }

    public RunEvents Events { get; }

    /// <summary>The attempts in progress.</summary>
    public ConcurrentDictionary<StepAttempt, byte> Attempts { get; } = new();

    public Guid RunId => Claimed.RunId;

    public long Epoch => Claimed.Epoch;

    /// <summary>Fires at cancel, at the worker's stop and when the run is lost.</summary>
    public CancellationToken CancellationToken { get; }

    /// <summary>The same without cancel.</summary>
    public CancellationToken ShieldedToken { get; }

    public bool IsCancelled => _cancel.IsCancellationRequested;

    /// <summary>The run is to leave this worker, whatever else is asked of it.</summary>
    public bool IsDropped => ShieldedToken.IsCancellationRequested;

    /// <summary>The run was taken away from this worker: there is nothing to write any more.</summary>
    public bool IsGone => _isGone;

    /// <summary>The worker stops, or the run is to be paused: attempts go on for a while, but none begins.</summary>
    public bool IsStopping => _isStopping;

    /// <summary>Whether anything of the run may stand among the open steps.</summary>
    public bool HadOpenSteps { get; set; }

    /// <summary>Whether other runs have to hear of the end of this one.</summary>
    public bool HasFamily { get; set; }

    public void Cancel() => _cancel.Cancel();

    public void BeginStop()
    {
        _isStopping = true;
        Activity.Stop();
    }

    /// <summary>Tells the code to end without the run being cancelled.</summary>
    public void Drop() => _drop.Cancel();

    /// <summary>Somebody else has ended the run or put it back.</summary>
    public void Lose()
    {
        _isGone = true;
        _drop.Cancel();
    }

    /// <summary>Writes a line of the run's log.</summary>
    public void Log(LogLevel level, string? step, string message) => _services.Writer.Post(new Write(WriteKind.Log, RunId, Epoch)
    {
        State = level.ToString().ToLowerInvariant(), Name = step, Error = ErrorText.Scrub(message), Wait = TimeSpan.Zero,
    });

    /// <summary>
    /// Unties the run from the session's token, which lives much longer. The run's own sources stay: somebody may just be
    /// about to cancel it.
    /// </summary>
    public void Dispose()
    {
        _stop.Dispose();
        _shielded.Dispose();
    }
}
