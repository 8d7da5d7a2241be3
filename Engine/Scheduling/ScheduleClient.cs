using Exporter.Engine.Client;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Engine.Scheduling;

/// <summary>Makes, steers and shows schedules. Any worker of the database fires them.</summary>
/// <example>
/// <code>
/// await schedules.PutAsync(
///     new Schedule
///     {
///         Id = "nightly", Workflow = "report", Overlap = OverlapPolicy.BufferOne,
///         Spec = new ScheduleSpec { Cron = "30 2 * * *", TimeZone = "Europe/Berlin", Jitter = TimeSpan.FromMinutes(10) },
///     },
///     new ReportInput("sales"));
/// await schedules.PauseAsync("nightly", "Ann: the source moves this week");
/// await schedules.UnpauseAsync("nightly", "Ann: moved");
/// var now = await schedules.TriggerAsync("nightly", OverlapPolicy.AllowAll);
/// await schedules.BackfillAsync("nightly", monday, nextMonday, OverlapPolicy.BufferAll);
/// foreach (var occurrence in (await schedules.DescribeAsync("nightly"))!.Recent) { ... }
/// </code>
/// </example>
public sealed class ScheduleClient
{
    /// <summary>The most occurrences that one backfill makes.</summary>
    public const int MostBackfilled = 10_000;

    private readonly NpgsqlDataSource _data;
    private readonly PayloadCodec _codec;
    private readonly ScheduleSettler _settler;

    /// <summary>Makes a client.</summary>
    /// <param name="data">The engine's database.</param>
    /// <param name="codec">How payloads are stored; the same as the workers'.</param>
    public ScheduleClient(NpgsqlDataSource data, PayloadCodec codec)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(codec);
        _data = data;
        _codec = codec;
        _settler = new ScheduleSettler(new EngineClient(data, codec), codec);
    }

    /// <summary>
    /// Makes a schedule, or changes it while it goes on: rule, policy, input, everything but its id. Occurrences that have their
    /// outcome keep it; those of the new rule count from the first of the old one that has none, at the latest from now. Runs that
    /// start from now on, also of occurrences that wait, have the new input.
    /// </summary>
    /// <param name="schedule">The schedule. A paused one stays paused.</param>
    /// <param name="input">What its runs are started with; they see their occurrence as <c>ScheduledFor</c>.</param>
    /// <param name="transaction">The caller's own. Default one of its own.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="ArgumentException">A value is out of the range that its property states.</exception>
    public Task PutAsync<TInput>(Schedule schedule, TInput input, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        schedule.Validate();
        var stored = _codec.Write(input, Places.Schedule(schedule.Id));
        return InTransactionAsync(
            transaction,
            async own =>
            {
                var before = await ScheduleStore.LockAsync(own, schedule.Id, cancellationToken).ConfigureAwait(false);
                var settled = before is null
                    ? await ScheduleStore.ClockAsync(own, cancellationToken).ConfigureAwait(false)
                    : SettledFor(before, schedule.Spec);
                await ScheduleStore.PutAsync(own, schedule, stored, settled, cancellationToken).ConfigureAwait(false);
                await ScheduleStore.TellFirersAsync(own, cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken);
    }

    /// <summary>
    /// No run is started for an occurrence of the rule until it is unpaused: what is due meanwhile is skipped and recorded so, what
    /// waits goes on waiting. Runs that were started go on; triggers and backfills still work.
    /// </summary>
    /// <param name="scheduleId">The schedule.</param>
    /// <param name="note">Who pauses it, and why.</param>
    /// <param name="transaction">The caller's own. Default one of its own.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>False when there is no such schedule.</returns>
    public Task<bool> PauseAsync(
        string scheduleId, string? note = null, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(
            transaction, own => ScheduleStore.PauseAsync(own, scheduleId, note, blocked: false, cancellationToken), cancellationToken);

    /// <summary>Occurrences that fall due from now on start runs again. What fell due before and was not decided is skipped.</summary>
    /// <param name="scheduleId">The schedule.</param>
    /// <param name="note">Who unpauses it, and why; replaces the note of the pause.</param>
    /// <param name="transaction">The caller's own. Default one of its own.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>False when there is no such schedule.</returns>
    public Task<bool> UnpauseAsync(
        string scheduleId, string? note = null, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(
            transaction,
            async own =>
            {
                var stored = await ScheduleStore.LockAsync(own, scheduleId, cancellationToken).ConfigureAwait(false);
                if (stored is { Paused: true, Blocked: false })
                {
                    await SettlePauseAsync(own, stored, cancellationToken).ConfigureAwait(false);
                }

                await ScheduleStore.TellFirersAsync(own, cancellationToken).ConfigureAwait(false);
                return await ScheduleStore.UnpauseAsync(own, scheduleId, note, cancellationToken).ConfigureAwait(false);
            },
            cancellationToken);

    /// <summary>
    /// One occurrence more, now, also while the schedule is paused. It stands beside an occurrence of the rule at the same time, with
    /// an outcome and a run of its own.
    /// </summary>
    /// <param name="scheduleId">The schedule.</param>
    /// <param name="overlap">For this occurrence. Default the schedule's.</param>
    /// <param name="requestId">Repeated with the same id, the call changes nothing and answers the first one's. Default a new one.</param>
    /// <param name="transaction">The caller's own. Default one of its own.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>What became of it; null when there is no such schedule.</returns>
    public Task<ScheduleOccurrence?> TriggerAsync(
        string scheduleId, OverlapPolicy? overlap = null, Guid? requestId = null, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(
            transaction,
            async own => (await RequestAsync(
                own,
                scheduleId,
                overlap,
                OccurrenceCause.Trigger,
                requestId,
                stored => [stored.Now],
                cancellationToken).ConfigureAwait(false))?.Single(),
            cancellationToken);

    /// <summary>
    /// The occurrences of the rule in a past range once more, in order, also while the schedule is paused, without delay and jitter. Each
    /// stands beside the one of the rule at that time, whatever became of that, with an outcome and a run of its own: who wants only
    /// what was skipped reads that from <c>engine.occurrences</c> first.
    /// </summary>
    /// <param name="scheduleId">The schedule.</param>
    /// <param name="start">The first instant of the range.</param>
    /// <param name="end">The first instant after it; not in the future.</param>
    /// <param name="overlap">For these occurrences: one after the other with <see cref="OverlapPolicy.BufferAll"/>, all at once with
    /// <see cref="OverlapPolicy.AllowAll"/>; of the others at most one or two start.</param>
    /// <param name="requestId">Repeated with the same id, the call changes nothing and answers the first one's. Default a new one.</param>
    /// <param name="transaction">The caller's own. Default one of its own.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>What became of each; null when there is no such schedule.</returns>
    /// <exception cref="ArgumentException">The range is empty, ends in the future or has more than 10,000 occurrences.</exception>
    public Task<IReadOnlyList<ScheduleOccurrence>?> BackfillAsync(
        string scheduleId, DateTimeOffset start, DateTimeOffset end, OverlapPolicy overlap, Guid? requestId = null, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(
            transaction,
            own => RequestAsync(
                own,
                scheduleId,
                overlap,
                OccurrenceCause.Backfill,
                requestId,
                stored => Past(stored.Schedule.Spec, start, end, stored.Now),
                cancellationToken),
            cancellationToken);

    /// <summary>Removes a schedule. Its runs and the record of its occurrences stay; what waited is skipped.</summary>
    /// <returns>False when there is no such schedule.</returns>
    public Task<bool> DeleteAsync(string scheduleId, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(transaction, own => ScheduleStore.DeleteAsync(own, scheduleId, cancellationToken), cancellationToken);

    /// <summary>Schedules in the order of their ids.</summary>
    /// <param name="after">Only those after this id. Default all.</param>
    /// <param name="limit">At most so many. Default 100; from 1 to 10,000.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<IReadOnlyList<ScheduleInfo>> ListAsync(string after = "", int limit = 100, CancellationToken cancellationToken = default)
    {
        InRange(limit, 1, nameof(limit));
        return InTransactionAsync<IReadOnlyList<ScheduleInfo>>(
            null,
            async own => [.. (await ScheduleStore.ListAsync(own, null, after, limit, cancellationToken).ConfigureAwait(false)).Select(Info)],
            cancellationToken);
    }

    /// <summary>A schedule, what comes next and what came last.</summary>
    /// <param name="scheduleId">The schedule.</param>
    /// <param name="next">So many of the next occurrences. Default 10; from 0 to 10,000.</param>
    /// <param name="recent">So many of the last ones. Default 10; from 0 to 10,000.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Null when there is no such schedule.</returns>
    public Task<ScheduleDescription?> DescribeAsync(string scheduleId, int next = 10, int recent = 10, CancellationToken cancellationToken = default)
    {
        InRange(next, 0, nameof(next));
        InRange(recent, 0, nameof(recent));
        return InTransactionAsync(
            null,
            async own =>
            {
                var found = await ScheduleStore.ListAsync(own, scheduleId, "", 1, cancellationToken).ConfigureAwait(false);
                return found.Count == 0 ? null : new ScheduleDescription
                {
                    Info = Info(found[0]),
                    Next = [.. Occurrences.Between(found[0].Schedule.Spec, found[0].SettledTo.AddTicks(1), DateTimeOffset.MaxValue).Take(next)],
                    Recent = await ScheduleStore.RecentAsync(own, scheduleId, recent, cancellationToken).ConfigureAwait(false),
                    Running = await ScheduleStore.RunningAsync(own, scheduleId, cancellationToken).ConfigureAwait(false),
                };
            },
            cancellationToken);
    }

    /// <summary>A new rule takes over where the old one has no more to say, so that it does not begin with a past of its own.</summary>
    private static DateTimeOffset SettledFor(StoredSchedule before, ScheduleSpec spec)
    {
        if (ScheduleStore.Equal(before.Schedule.Spec, spec))
        {
            return before.SettledTo;
        }

        var free = before.NextOccurrence is { } next && next <= before.Now ? next.AddTicks(-TimeSpan.TicksPerMicrosecond) : before.Now;
        return free > before.SettledTo ? free : before.SettledTo;
    }

    private static List<DateTimeOffset> Past(ScheduleSpec spec, DateTimeOffset start, DateTimeOffset end, DateTimeOffset now)
    {
        if (start >= end || end > now)
        {
            throw new ArgumentException($"end must be after start, {start:O}, and not in the future, {now:O}; it is {end:O}.", nameof(end));
        }

        var times = Occurrences.Between(spec, start, end).Take(MostBackfilled + 1).ToList();
        return times.Count <= MostBackfilled
            ? times
            : throw new ArgumentException($"The range has more than {MostBackfilled} occurrences; give shorter ones.", nameof(end));
    }

    private static ScheduleInfo Info(StoredSchedule stored) => new()
    {
        Schedule = stored.Schedule,
        Paused = stored.Paused,
        Note = stored.Note,
        Blocked = stored.Blocked,
        SettledTo = stored.SettledTo,
        NextOccurrence = stored.NextOccurrence,
        NextAt = stored.NextAt,
        Buffered = stored.Buffered,
        CreatedAt = stored.CreatedAt,
        UpdatedAt = stored.UpdatedAt,
    };

    private static void InRange(int value, int least, string name)
    {
        if (value < least || value > 10_000)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be from {least} to 10,000.");
        }
    }

    /// <summary>
    /// Records what fell due during a pause, so that the next occurrence is known at once. Not more than a moment's worth: the rest,
    /// and a rule that this machine cannot use, is left to who fires next.
    /// </summary>
    private async Task SettlePauseAsync(NpgsqlTransaction transaction, StoredSchedule stored, CancellationToken cancellationToken)
    {
        try
        {
            for (var n = 0; n < 25 && stored.NextAt <= stored.Now; n++)
            {
                stored = await _settler.SettlePauseAsync(transaction, stored, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (ArgumentException)
        {
            // Nothing of this batch was written.
        }
    }

    private async Task<IReadOnlyList<ScheduleOccurrence>?> RequestAsync(
        NpgsqlTransaction transaction, string scheduleId, OverlapPolicy? overlap, OccurrenceCause cause, Guid? requestId,
        Func<StoredSchedule, IReadOnlyList<DateTimeOffset>> times, CancellationToken cancellationToken)
    {
        if (requestId == Guid.Empty)
        {
            throw new ArgumentException("requestId must not be empty.", nameof(requestId));
        }

        _ = OverlapPolicyText.Of(overlap ?? OverlapPolicy.Skip);
        if (await ScheduleStore.LockAsync(transaction, scheduleId, cancellationToken).ConfigureAwait(false) is not { } stored)
        {
            return null;
        }

        var request = requestId ?? Guid.CreateVersion7();
        if (requestId is null
            || await ScheduleStore.RequestAsync(transaction, scheduleId, request, cancellationToken).ConfigureAwait(false) is not { Count: > 0 } earlier)
        {
            var keys = times(stored).Select(time => new OccurrenceKey(time, cause, request));
            await _settler.SettleAsync(transaction, stored, keys, overlap ?? stored.Schedule.Overlap, cancellationToken).ConfigureAwait(false);
            await ScheduleStore.TellFirersAsync(transaction, cancellationToken).ConfigureAwait(false);
            return await ScheduleStore.RequestAsync(transaction, scheduleId, request, cancellationToken).ConfigureAwait(false);
        }

        return earlier;
    }

    private async Task<T> InTransactionAsync<T>(NpgsqlTransaction? given, Func<NpgsqlTransaction, Task<T>> body, CancellationToken cancellationToken)
    {
        if (given is not null)
        {
            return await body(given).ConfigureAwait(false);
        }

        var connection = await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var own = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollingBack = own.ConfigureAwait(false);
        var result = await body(own).ConfigureAwait(false);
        await own.CommitAsync(cancellationToken).ConfigureAwait(false);
        return result;
    }
}
