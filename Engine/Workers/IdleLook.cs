using Exporter.Engine.Scheduling;
using Exporter.Engine.Storage;
using Exporter.Engine.Testing;
using Npgsql;

namespace Exporter.Engine.Workers;

/// <summary>
/// The looks of a worker that executes nothing: one statement now and then, on the connection that it holds in any case, in
/// place of all that its parts would ask for by themselves. Where something is due it is there to the moment, since each look
/// tells when the next one is needed.
/// </summary>
internal sealed class IdleLook(WorkerSettings settings, WorkSignal signal, ScheduleBell schedules, TimeProvider time, Action wake)
{
    // A wait is no more exact than this.
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(10);
    private static readonly TimeProvider System = TimeProvider.System;
    // Tests that move the clock want everybody to look for himself.
    private readonly bool _isOn = ReferenceEquals(TestClock.Unmoved(time), time);
    private long _freshUntil;
    private volatile bool _nothingToSweep;

    /// <summary>Whether a look was just made and the next one will be: then no part of an idle worker need look for itself.</summary>
    public bool IsFresh => System.GetTimestamp() < Volatile.Read(ref _freshUntil);

    /// <summary>Whether the last look, if it is not too old, found nothing to sweep and nothing to carry.</summary>
    public bool FoundNoChores => _nothingToSweep && IsFresh;

    /// <summary>How long an idle worker waits from one look to the next.</summary>
    public TimeSpan Pace => !_isOn ? Timeout.InfiniteTimeSpan : signal.IsListening ? settings.Options.PollInterval * 1.5 : settings.Options.PollInterval;

    /// <summary>Looks, and tells whom it concerns.</summary>
    /// <returns>When to look again.</returns>
    public TimeSpan Look(NpgsqlConnection connection)
    {
        var around = WorkerStore.Look(connection, settings.Queue, settings.Options.KeepFinished);
        _nothingToSweep = !around.ToSweep && !around.ToCarry;
        var fresh = After(Pace + Pace + TimeSpan.FromSeconds(1));
        Volatile.Write(ref _freshUntil, fresh);
        if (around.Ready || around.DueIn <= TimeSpan.Zero)
        {
            wake();
        }

        if (around.Buffered || around.ScheduleIn <= TimeSpan.Zero)
        {
            schedules.Ring();
        }
        else
        {
            schedules.Quiet(Math.Min(fresh, After(around.ScheduleIn ?? Timeout.InfiniteTimeSpan)));
        }

        return Sooner(around.DueIn, Sooner(around.ScheduleIn, Pace));
    }

    private static long After(TimeSpan wait) =>
        wait == Timeout.InfiniteTimeSpan ? long.MaxValue : System.GetTimestamp() + (long)(wait.TotalSeconds * System.TimestampFrequency);

    private static TimeSpan Sooner(TimeSpan? due, TimeSpan pace) =>
        due is not { } wait || wait <= TimeSpan.Zero || wait > pace ? pace : wait > Shortest ? wait : Shortest;
}
