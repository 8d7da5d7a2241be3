using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Engine.Scheduling;

/// <summary>
/// Decides occurrences of one schedule, whose row the caller's transaction has locked: their outcomes, their runs and the
/// schedule's next occurrence are written together.
/// </summary>
internal sealed class ScheduleSettler(EngineClient client, PayloadCodec codec)
{
    /// <summary>Occurrences decided at most in one transaction; more are left to the next.</summary>
    private const int Batch = 200;

    /// <summary>Decides what is due by now, and what waits and may start. More: a batch was not enough.</summary>
    public async Task<(IReadOnlyList<ScheduleOccurrence> Decided, bool More)> SettleDueAsync(
        NpgsqlTransaction transaction, StoredSchedule stored, CancellationToken cancellationToken)
    {
        var (going, decider) = await BeginAsync(transaction, stored, cancellationToken).ConfigureAwait(false);
        var settled = DecideDue(stored, decider);
        var decided = await WriteAsync(transaction, settled, going, decider, cancellationToken).ConfigureAwait(false);
        return (decided, settled.NextAt <= stored.Now);
    }

    /// <summary>Records what fell due during the pause that is about to end; starts nothing.</summary>
    public async Task<StoredSchedule> SettlePauseAsync(NpgsqlTransaction transaction, StoredSchedule stored, CancellationToken cancellationToken)
    {
        var decider = new OverlapDecider(going: true, []);
        var settled = DecideDue(stored, decider);
        await WriteAsync(transaction, settled, [], decider, cancellationToken).ConfigureAwait(false);
        return settled;
    }

    /// <summary>Decides occurrences that somebody asked for, at once, also while the schedule is paused.</summary>
    public async Task<IReadOnlyList<ScheduleOccurrence>> SettleAsync(
        NpgsqlTransaction transaction, StoredSchedule stored, IEnumerable<OccurrenceKey> keys, OverlapPolicy overlap, CancellationToken cancellationToken)
    {
        var (going, decider) = await BeginAsync(transaction, stored, cancellationToken).ConfigureAwait(false);
        foreach (var key in keys)
        {
            decider.Add(key, overlap);
        }

        return await WriteAsync(transaction, stored, going, decider, cancellationToken).ConfigureAwait(false);
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

    private static async Task<(List<Guid> Going, OverlapDecider Decider)> BeginAsync(
        NpgsqlTransaction transaction, StoredSchedule stored, CancellationToken cancellationToken)
    {
        var going = await ScheduleStore.GoingAsync(transaction, stored.Id, cancellationToken).ConfigureAwait(false);
        var buffer = stored.Buffered == 0 ? [] : await ScheduleStore.BufferAsync(transaction, stored.Id, cancellationToken).ConfigureAwait(false);
        var decider = new OverlapDecider(going.Count > 0, buffer);
        decider.Drain(stored.Paused);
        return (going, decider);
    }

    private async Task<IReadOnlyList<ScheduleOccurrence>> WriteAsync(
        NpgsqlTransaction transaction, StoredSchedule stored, List<Guid> going, OverlapDecider decider, CancellationToken cancellationToken)
    {
        var schedule = stored.Schedule;
        var recorded = await ScheduleStore.RecordAsync(transaction, stored.Id, decider.Decisions, cancellationToken).ConfigureAwait(false);
        byte[]? input = null;
        foreach (var (key, occurrence) in recorded)
        {
            if (occurrence.RunId is { } runId)
            {
                input ??= codec.Unprotect(stored.Input, Places.Schedule(stored.Id));
                await client.StartAsync(
                    runId,
                    schedule.Workflow,
                    codec.Protect(input, Places.Input(runId)),
                    new StartOptions
                    {
                        Queue = schedule.Queue, Priority = schedule.Priority, Tags = schedule.Tags,
                        ConcurrencyKey = schedule.ConcurrencyKey, ConcurrencyLimit = schedule.ConcurrencyLimit,
                    },
                    stored.Id,
                    key.Time,
                    transaction,
                    cancellationToken).ConfigureAwait(false);
            }
        }

        foreach (var runId in decider.CancelsOthers || decider.TerminatesOthers ? going : [])
        {
            await (decider.TerminatesOthers
                ? client.TerminateAsync(runId, "Terminated by a later occurrence of its schedule.", transaction, cancellationToken)
                : client.CancelAsync(runId, transaction, cancellationToken)).ConfigureAwait(false);
        }

        await ScheduleStore.AdvanceAsync(
            transaction, stored.Id, stored.SettledTo, stored.NextOccurrence, stored.NextAt, cancellationToken).ConfigureAwait(false);
        return [.. recorded.Select(row => row.Occurrence)];
    }
}
