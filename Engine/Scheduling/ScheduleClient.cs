using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Npgsql;

namespace Exporter.Engine.Scheduling;

/// <summary>Makes and steers schedules. Any worker of the database fires them.</summary>
public sealed class ScheduleClient
{
    private readonly NpgsqlDataSource _data;
    private readonly PayloadCodec _codec;

    /// <summary>Makes a client.</summary>
    /// <param name="data">The engine's database.</param>
    /// <param name="codec">How payloads are stored; the same as the workers'.</param>
    public ScheduleClient(NpgsqlDataSource data, PayloadCodec codec)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(codec);
        _data = data;
        _codec = codec;
    }

    /// <summary>Makes a schedule, or changes it: then occurrences that have their outcome keep it.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="input">What its runs are started with; they see their occurrence as <c>ScheduledFor</c>.</param>
    /// <param name="transaction">The caller's own. Default one of its own.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
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
                var settled = before?.SettledTo ?? await ScheduleStore.ClockAsync(own, cancellationToken).ConfigureAwait(false);
                await ScheduleStore.PutAsync(own, schedule, stored, settled, cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken);
    }

    /// <summary>No more occurrences until it is unpaused; runs that were started go on.</summary>
    /// <returns>False when there is no such schedule.</returns>
    public Task<bool> PauseAsync(string scheduleId, string? note = null, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(transaction, own => ScheduleStore.PauseAsync(own, scheduleId, note, cancellationToken), cancellationToken);

    /// <summary>Occurrences from now on; those of the pause are left out.</summary>
    /// <returns>False when there is no such schedule.</returns>
    public Task<bool> UnpauseAsync(string scheduleId, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(
            transaction,
            async own =>
            {
                if (await ScheduleStore.LockAsync(own, scheduleId, cancellationToken).ConfigureAwait(false) is not { } schedule)
                {
                    return false;
                }

                if (schedule.Paused)
                {
                    var now = await ScheduleStore.ClockAsync(own, cancellationToken).ConfigureAwait(false);
                    await ScheduleStore.UnpauseAsync(own, scheduleId, schedule.Spec, now, cancellationToken).ConfigureAwait(false);
                }

                return true;
            },
            cancellationToken);

    /// <summary>Removes a schedule; its runs stay.</summary>
    /// <returns>False when there is no such schedule.</returns>
    public Task<bool> DeleteAsync(string scheduleId, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default) =>
        InTransactionAsync(transaction, own => ScheduleStore.DeleteAsync(own, scheduleId, cancellationToken), cancellationToken);

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
