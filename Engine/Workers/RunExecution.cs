using System.Diagnostics.CodeAnalysis;
using Exporter.Engine.Observability;
using Exporter.Engine.Storage;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Workers;

/// <summary>A run in this worker, from its claim until it is left.</summary>
[SuppressMessage("Design", "CA1001", Justification = "Somebody may just be about to cancel the run; sources without a timer have nothing to free.")]
internal sealed class RunExecution
{
    private readonly CancellationTokenSource _drop = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly WorkerServices _services;
    private readonly List<StepAttempt> _attempts = new(1);
    private volatile bool _isCancelled;
    private volatile bool _isStopping;
    private volatile bool _isGone;
    private RunEvents? _events;

    public RunExecution(ClaimedRun claimed, WorkerServices services)
    {
        Claimed = claimed;
        _services = services;
        Activity = new RunActivity(services.Time, services.Options.LongestWaitInSlot);
        Steps = new StepRunner(this, services);
        HadOpenSteps = claimed.Begun.Count > 0;
        HasFamily = claimed.HasParent || claimed.HasChildren;
        if (claimed.CancelRequested)
        {
            Cancel();
        }
    }

    public ClaimedRun Claimed { get; }

    public RunActivity Activity { get; }

    public StepRunner Steps { get; }

    /// <summary>What the run waits for from outside.</summary>
    public RunEvents Events => LazyInitializer.EnsureInitialized(ref _events, () => new RunEvents(this, _services));

    /// <summary>How many events all waits have seen; null when nothing waits for one.</summary>
    public long? SeenEvents => _events?.Seen;

    /// <summary>The attempts in progress.</summary>
    public StepAttempt[] Attempts
    {
        get
        {
            lock (_attempts)
            {
                return [.. _attempts];
            }
        }
    }

    public Guid RunId => Claimed.RunId;

    public long Epoch => Claimed.Epoch;

    /// <summary>Fires at cancel, at the worker's stop and when the run is lost.</summary>
    public CancellationToken CancellationToken => _stop.Token;

    /// <summary>The same without cancel.</summary>
    public CancellationToken ShieldedToken => _drop.Token;

    public bool IsCancelled => _isCancelled;

    /// <summary>The run is to leave this worker, whatever else is asked of it.</summary>
    public bool IsDropped => _drop.IsCancellationRequested;

    /// <summary>The run was taken away from this worker: there is nothing to write any more.</summary>
    public bool IsGone => _isGone;

    /// <summary>The worker stops, or the run is to be paused: attempts go on for a while, but none begins.</summary>
    public bool IsStopping => _isStopping;

    /// <summary>Whether anything of the run may stand among the open steps.</summary>
    public bool HadOpenSteps { get; set; }

    /// <summary>Whether other runs have to hear of the end of this one.</summary>
    public bool HasFamily { get; set; }

    public void Cancel()
    {
        _isCancelled = true;
        _stop.Cancel();
    }

    /// <summary>Something that the run may wait for has come.</summary>
    public void WakeEvents() => _events?.Wake();

    public void Began(StepAttempt attempt)
    {
        lock (_attempts)
        {
            _attempts.Add(attempt);
        }
    }

    public void Ended(StepAttempt attempt)
    {
        lock (_attempts)
        {
            _attempts.Remove(attempt);
        }
    }

    public void BeginStop()
    {
        _isStopping = true;
        Activity.Stop();
    }

    /// <summary>Tells the code to end without the run being cancelled.</summary>
    public void Drop()
    {
        _drop.Cancel();
        _stop.Cancel();
    }

    /// <summary>Somebody else has ended the run or put it back.</summary>
    public void Lose()
    {
        _isGone = true;
        Drop();
    }

    /// <summary>Writes a line of the run's log.</summary>
    public void Log(LogLevel level, string? step, string message) => _services.Writer.Post(new Write(WriteKind.Log, RunId, Epoch)
    {
        State = level.ToString().ToLowerInvariant(), Name = step, Error = ErrorText.Scrub(message), Wait = TimeSpan.Zero,
    });
}
