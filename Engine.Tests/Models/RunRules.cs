using Exporter.Engine.Client;
using Exporter.Engine.Storage;

namespace Exporter.Engine.Tests.Models;

/// <summary>A rule that the model is told wrongly, to show that the comparison can fail.</summary>
internal enum BrokenRule
{
    None,
    StaleWritesAreAccepted,
    RetryKeepsFailures,
    SignalsWakeNobody,
    TakeoverKeepsTheEpoch,
    PlacesAreRecordedAgain,
}

/// <summary>Who claimed a run, and under which epoch; and how many events were counted since.</summary>
internal sealed record Claim(Guid Worker, long Epoch)
{
    public long Seen { get; set; }
}

/// <summary>
/// The rules that hold for a run, in memory and one call at a time: what each call answers and what it changes. Written from
/// what is promised, not from the statements.
/// </summary>
internal sealed class RunRules(BrokenRule broken)
{
    private readonly SortedDictionary<int, string> _records = [];
    private readonly List<(string? Key, int? TakenAt)> _signals = [];
    private RunState? _state;
    private Guid? _holder;
    private long _epoch;
    private int _attempt = 1;
    private long _events;
    private bool _wakesOnEvent;
    private bool _isDue;
    private bool _toCancel;
    private bool _toPause;

    public Guid RunId { get; } = Guid.CreateVersion7();

    /// <summary>All claims, the latest last.</summary>
    public List<Claim> Claims { get; } = [];

    public bool Exists => _state is not null;

    public bool IsClaimable => _state == RunState.Queued;

    private bool IsLive => _state is { } state && !state.IsFinal();

    public bool IsHeldBy(Guid worker) => _holder == worker;

    /// <summary>Whether a call started it; every further one answers the same run.</summary>
    public bool Start()
    {
        if (Exists)
        {
            return false;
        }

        _state = RunState.Queued;
        return true;
    }

    public string Claimed(Claim claim)
    {
        _state = RunState.Running;
        _holder = claim.Worker;
        _epoch++;
        _wakesOnEvent = false;
        Claims.Add(claim);
        return $"epoch {_epoch}{(_toCancel ? ", to be cancelled" : "")}, attempt {_attempt}, {Records()}";
    }

    /// <summary>The time that it waits for has come; the next claim, whoever's, will find that.</summary>
    public void FallDue() => _isDue |= _state == RunState.Waiting;

    public void Wake() => _state = _state == RunState.Waiting && _isDue ? RunState.Queued : _state;

    /// <summary>Its worker was lost, or gives back what it does not know of.</summary>
    public void Free()
    {
        _epoch += broken == BrokenRule.TakeoverKeepsTheEpoch ? 0 : 1;
        Rest();
    }

    public string? Order(Guid worker) => _holder != worker ? "drop" : _toCancel ? "cancel" : _toPause ? "pause" : null;

    public bool Cancel()
    {
        if (!IsLive)
        {
            return false;
        }

        if (_epoch == 0 && _state != RunState.Running)
        {
            End(RunState.Cancelled);
            return true;
        }

        _toCancel = true;
        _toPause = false;
        _state = _holder is null ? RunState.Queued : _state;
        return true;
    }

    public bool Pause()
    {
        if (!IsLive || _toCancel)
        {
            return false;
        }

        _toPause = true;
        _state = _holder is null ? RunState.Paused : _state;
        return true;
    }

    public bool Resume()
    {
        if (!IsLive || !_toPause)
        {
            return false;
        }

        _toPause = false;
        _state = _holder is null ? RunState.Queued : _state;
        return true;
    }

    public bool Terminate()
    {
        var was = IsLive;
        if (was)
        {
            End(RunState.Terminated);
        }

        return was;
    }

    public bool Retry()
    {
        if (_state is not (RunState.Failed or RunState.Cancelled or RunState.Terminated))
        {
            return false;
        }

        ForgetFailures();
        Revive();
        return true;
    }

    public bool Reset(int place)
    {
        if (!Exists)
        {
            return false;
        }

        _epoch += IsLive ? 1 : 0;
        foreach (var later in _records.Keys.Where(at => at >= place).ToList())
        {
            _records.Remove(later);
        }

        for (var n = 0; n < _signals.Count; n++)
        {
            _signals[n] = _signals[n].TakenAt >= place ? (_signals[n].Key, null) : _signals[n];
        }

        Revive();
        return true;
    }

    /// <summary>Null: there is no such run, or it is final.</summary>
    public bool? Signal(string? key)
    {
        if (!IsLive)
        {
            return null;
        }

        if (key is not null && _signals.Exists(signal => signal.Key == key))
        {
            return false;
        }

        _signals.Add((key, null));
        _events++;
        _state = _state == RunState.Waiting && _wakesOnEvent && broken != BrokenRule.SignalsWakeNobody ? RunState.Queued : _state;
        return true;
    }

    public long CountEvents() => IsLive ? _events : 0;

    /// <summary>A write of somebody who once claimed the run: "accepted", "refused", or "recorded before".</summary>
    public string Write(Claim by, Write write, bool again)
    {
        if (!IsHeld(by))
        {
            return "refused";
        }

        switch (write.Kind)
        {
            case WriteKind.Record when _records.ContainsKey(write.Place) && broken != BrokenRule.PlacesAreRecordedAgain:
                return again ? "accepted" : "recorded before";
            case WriteKind.Record:
                _records[write.Place] = Value(write.Payload, write.Error);
                break;
            case WriteKind.Finish:
                End(RunStateText.Parse(write.State!));
                break;
            case WriteKind.Leave:
                Rest();
                _wakesOnEvent = write.SeenEvents is not null;
                if (_state == RunState.Queued && write.Wait is not null && !_toCancel && !(_events > write.SeenEvents))
                {
                    Wait();
                }

                break;
            case WriteKind.Retry:
                Rest();
                ForgetFailures();
                _attempt++;
                _wakesOnEvent = false;
                if (_state == RunState.Queued && !_toCancel)
                {
                    Wait();
                }

                break;
            case WriteKind.Continue:
                Rest();
                _attempt = 1;
                _records.Clear();
                _signals.RemoveAll(signal => signal.TakenAt is not null);
                break;
        }

        return "accepted";
    }

    /// <summary>A wait's end: takes the oldest signal and records it, both or none.</summary>
    public string Take(Claim by, Write write)
    {
        var next = _signals.FindIndex(signal => signal.TakenAt is null);
        if (!IsHeld(by) || next < 0)
        {
            return IsHeld(by) ? "accepted" : "refused";
        }

        if (_records.ContainsKey(write.Place))
        {
            return "recorded before";
        }

        _signals[next] = (_signals[next].Key, write.Place);
        _records.Add(write.Place, Value(write.Payload, write.Error));
        return "accepted";
    }

    /// <summary>All that can be seen of it from outside.</summary>
    public override string ToString() => Exists
        ? $"{_state!.Value.ToText()} {_holder} epoch {_epoch}, attempt {_attempt}"
            + $"{(IsLive && _toCancel ? ", to be cancelled" : "")}{(IsLive && _toPause ? ", to be paused" : "")}, "
            + $"{Records()}, signals [{string.Join(' ', _signals.Select(signal => $"{signal.TakenAt}"))}]"
        : "not there";

    public static string Value(byte[]? output, string? error) => error is null ? Convert.ToHexStringLower(output!) : "failed";

    public static string Records(IEnumerable<KeyValuePair<int, string>> records) =>
        $"records [{string.Join(' ', records.OrderBy(one => one.Key).Select(one => $"{one.Key}={one.Value}"))}]";

    private string Records() => Records(_records);

    private bool IsHeld(Claim by) =>
        _state == RunState.Running && ((_holder == by.Worker && _epoch == by.Epoch) || broken == BrokenRule.StaleWritesAreAccepted);

    private void Rest()
    {
        _holder = null;
        _state = _toPause ? RunState.Paused : RunState.Queued;
    }

    private void Wait()
    {
        _state = RunState.Waiting;
        _isDue = false;
    }

    private void Revive()
    {
        _events = IsLive ? _events : 0;
        _toCancel = _toPause = false;
        Rest();
    }

    private void End(RunState state)
    {
        _state = state;
        _holder = null;
    }

    private void ForgetFailures()
    {
        foreach (var place in _records.Where(one => one.Value == "failed" && broken != BrokenRule.RetryKeepsFailures).Select(one => one.Key).ToList())
        {
            _records.Remove(place);
        }
    }
}
