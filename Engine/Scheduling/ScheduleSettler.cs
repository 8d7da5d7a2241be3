using System.Security.Cryptography;
using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Engine.Scheduling;

/// <summary>What became of a schedule that was due.</summary>
/// <param name="Before">The schedule as it was taken.</param>
/// <param name="Decided">Its occurrences that have a new outcome.</param>
/// <param name="More">Whether a batch was not enough.</param>
/// <param name="Error">Why nothing can be decided of it; then nothing was.</param>
internal sealed record Settled(StoredSchedule Before, IReadOnlyList<ScheduleOccurrence> Decided, bool More, Exception? Error = null);

/// <summary>
/// Decides occurrences of schedules whose rows the caller's transaction has locked: their outcomes, their runs and each
/// schedule's next occurrence are written together, in as many round trips for many schedules as for one.
/// </summary>
internal sealed class ScheduleSettler(EngineClient client, PayloadCodec codec)
{
    /// <summary>Occurrences of one schedule decided at most in one transaction; more are left to the next.</summary>
    private const int Batch = 200;

    /// <summary>So many decided, the schedules that come after are left to the next transaction.</summary>
    private const int Enough = 1000;

    /// <summary>
    /// Decides what is due by now, and what waits and may start. Answers the schedules that it came to; one whose rule or input
    /// cannot be used here has the error.
    /// </summary>
    public async Task<IReadOnlyList<Settled>> SettleDueAsync(
        NpgsqlTransaction transaction, IReadOnlyList<StoredSchedule> taken, CancellationToken cancellationToken)
    {
        var (going, buffers) = await ScheduleStore.PresentAsync(transaction, taken, cancellationToken).ConfigureAwait(false);
        var (changes, settled, decisions, ends) = (new List<Change>(), new List<Settled>(), 0, false);
        foreach (var stored in taken.TakeWhile(_ => decisions < Enough))
        {
            try
            {
                var decider = Begin(stored, going, buffers);
                var change = ChangeOf(DecideDue(stored, decider), going, decider);
                if (change.EndsOthers && ends)
                {
                    // Left to the next transaction: one that held the runs of several schedules and a worker's that finishes the same
                    // runs, which takes them in no order, could wait for each other.
                    continue;
                }

                ends |= change.EndsOthers;
                changes.Add(change);
                settled.Add(new Settled(stored, [], change.After.NextAt <= stored.Now));
                decisions += decider.Decisions.Count;
            }
            catch (Exception error) when (error is ArgumentException or CryptographicException)
            {
                settled.Add(new Settled(stored, [], More: false, error));
            }
        }

        var written = await WriteAsync(transaction, changes, cancellationToken).ConfigureAwait(false);
        return [.. settled.Select(one => one with { Decided = [.. written[one.Before.Id]] })];
    }

    /// <summary>Records what fell due during the pause that is about to end; starts nothing.</summary>
    public async Task<StoredSchedule> SettlePauseAsync(NpgsqlTransaction transaction, StoredSchedule stored, CancellationToken cancellationToken)
    {
        var decider = new OverlapDecider(going: true, []);
        var settled = DecideDue(stored, decider);
        await WriteAsync(transaction, [new Change(settled, decider, [], null)], cancellationToken).ConfigureAwait(false);
        return settled;
    }

    /// <summary>Decides occurrences that somebody asked for, at once, also while the schedule is paused.</summary>
    public async Task SettleAsync(
        NpgsqlTransaction transaction, StoredSchedule stored, IEnumerable<OccurrenceKey> keys, OverlapPolicy overlap, CancellationToken cancellationToken)
    {
        var (going, buffers) = await ScheduleStore.PresentAsync(transaction, [stored], cancellationToken).ConfigureAwait(false);
        var decider = Begin(stored, going, buffers);
        foreach (var key in keys)
        {
            decider.Add(key, overlap);
        }

        await WriteAsync(transaction, [ChangeOf(stored, going, decider)], cancellationToken).ConfigureAwait(false);
    }

    private static OverlapDecider Begin(
        StoredSchedule stored, ILookup<string, Guid> going, ILookup<string, (OccurrenceKey Key, OverlapPolicy Overlap)> buffers)
    {
        var decider = new OverlapDecider(going.Contains(stored.Id), buffers[stored.Id]);
        decider.Drain(stored.Paused);
        return decider;
    }

    private static StoredSchedule DecideDue(StoredSchedule stored, OverlapDecider decider)
    {
        var (schedule, now) = (stored.Schedule, stored.Now);
        for (var n = 0; n < Batch && stored is { NextOccurrence: { } time, NextAt: { } due } && due <= now; n++)
        {
            var key = new OccurrenceKey(time, OccurrenceCause.Schedule, Guid.Empty);
            if (stored.Paused || due < stored.SkipUntil)
            {
                decider.Skip(key, schedule.Overlap, "The schedule was paused.");
            }
            else if (due + schedule.CatchUpWindow < now)
            {
                decider.Skip(key, schedule.Overlap, $"Missed by more than the catch-up window, {schedule.CatchUpWindow}.");
            }
            else
            {
                decider.Add(key, schedule.Overlap);
            }

            var (next, at) = ScheduleStore.Next(schedule.Id, schedule.Spec, time);
            stored = stored with { SettledTo = time, NextOccurrence = next, NextAt = at };
        }

        return stored;
    }

    private Change ChangeOf(StoredSchedule after, ILookup<string, Guid> going, OverlapDecider decider) => new(
        after,
        decider,
        [.. going[after.Id]],
        decider.Decisions.Any(decision => decision.Outcome == OccurrenceOutcome.Started) ? codec.Unprotect(after.Input, Places.Schedule(after.Id)) : null);

    private async Task<ILookup<string, ScheduleOccurrence>> WriteAsync(
        NpgsqlTransaction transaction, IReadOnlyList<Change> changes, CancellationToken cancellationToken)
    {
        var decided = changes.SelectMany(change => change.Decider.Decisions.Select(decision => (change.After.Id, decision))).ToList();
        var recorded = decided.Count == 0 ? [] : await ScheduleStore.RecordAsync(transaction, decided, cancellationToken).ConfigureAwait(false);
        var byId = changes.ToDictionary(change => change.After.Id);
        var runs = recorded.Where(row => row.Occurrence.RunId is not null).Select(row =>
        {
            var (runId, change) = (row.Occurrence.RunId!.Value, byId[row.ScheduleId]);
            return new ScheduledRun(runId, change.After.Schedule, row.Key.Time, codec.Protect(change.Input!, Places.Input(runId)));
        }).ToList();
        if (changes.Count > 0)
        {
            await ScheduleStore.StartAsync(transaction, runs, [.. changes.Select(change => change.After)], cancellationToken).ConfigureAwait(false);
        }

        // In the order of the runs, whatever the schedules: as all do who lock more than one.
        foreach (var (runId, decider) in changes.SelectMany(change => change.Going.Select(run => (run, change.Decider))).OrderBy(one => one.run))
        {
            if (decider.TerminatesOthers)
            {
                await client.TerminateAsync(runId, "Terminated by a later occurrence of its schedule.", transaction, cancellationToken).ConfigureAwait(false);
            }
            else if (decider.CancelsOthers)
            {
                await client.CancelAsync(runId, transaction, cancellationToken).ConfigureAwait(false);
            }
        }

        return recorded.ToLookup(row => row.ScheduleId, row => row.Occurrence);
    }

    /// <summary>What is to be written of a schedule; the input is there when a run is to be started.</summary>
    private sealed record Change(StoredSchedule After, OverlapDecider Decider, IReadOnlyList<Guid> Going, byte[]? Input)
    {
        public bool EndsOthers => Going.Count > 0 && (Decider.TerminatesOthers || Decider.CancelsOthers);
    }
}
