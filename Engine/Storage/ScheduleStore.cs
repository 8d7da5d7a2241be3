using System.Text.Json;
using Exporter.Engine.Scheduling;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Storage;

/// <summary>A schedule whose next occurrence is due; its row is locked.</summary>
internal sealed record DueSchedule(
    string Id, ScheduleSpec Spec, string Workflow, string Queue, short Priority, byte[] Input,
    Dictionary<string, string> Tags, TimeSpan CatchUpWindow, DateTimeOffset Occurrence, DateTimeOffset Now);

/// <summary>The statements about schedules, each in the caller's transaction.</summary>
internal static class ScheduleStore
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(ScheduleStore).Assembly, "sql/schedules.sql");

    public static async Task<DateTimeOffset> ClockAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken)
    {
        var command = Command("Clock", transaction);
        await using var disposing = command.ConfigureAwait(false);
        return new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!);
    }

    public static async Task<(DateTimeOffset SettledTo, bool Paused, ScheduleSpec Spec)?> LockAsync(
        NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken)
    {
        var command = Command("LockSchedule", transaction, Of(scheduleId));
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        return !await reader.ReadAsync(cancellationToken).ConfigureAwait(false)
            ? null
            : (reader.GetFieldValue<DateTimeOffset>(1), reader.GetBoolean(2), Spec(reader.GetString(0)));
    }

    public static Task PutAsync(
        NpgsqlTransaction transaction, Schedule schedule, byte[] input, DateTimeOffset settledTo, CancellationToken cancellationToken)
    {
        var (next, at) = Next(schedule.Id, schedule.Spec, settledTo);
        return ExecuteAsync(
            "PutSchedule",
            transaction,
            cancellationToken,
            Of(schedule.Id),
            Json(schedule.Spec),
            Of(schedule.Workflow),
            Of(schedule.Queue),
            Of(schedule.Priority),
            Of(input),
            Json(schedule.Tags),
            Of(schedule.CatchUpWindow),
            Of(settledTo),
            Time(next),
            Time(at));
    }

    public static async Task<bool> PauseAsync(NpgsqlTransaction transaction, string scheduleId, string? note, CancellationToken cancellationToken) =>
        await ExecuteAsync("PauseSchedule", transaction, cancellationToken, Of(scheduleId), Text(note)).ConfigureAwait(false) > 0;

    public static async Task<bool> DeleteAsync(NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken) =>
        await ExecuteAsync("DeleteSchedule", transaction, cancellationToken, Of(scheduleId)).ConfigureAwait(false) > 0;

    public static Task UnpauseAsync(
        NpgsqlTransaction transaction, string scheduleId, ScheduleSpec spec, DateTimeOffset settledTo, CancellationToken cancellationToken)
    {
        var (next, at) = Next(scheduleId, spec, settledTo);
        return ExecuteAsync("UnpauseSchedule", transaction, cancellationToken, Of(scheduleId), Of(settledTo), Time(next), Time(at));
    }

    public static async Task<DueSchedule?> TakeDueAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken)
    {
        var command = Command("TakeDue", transaction);
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        return !await reader.ReadAsync(cancellationToken).ConfigureAwait(false) ? null : new DueSchedule(
            reader.GetString(0),
            Spec(reader.GetString(1)),
            reader.GetString(2),
            reader.GetString(3),
            reader.GetInt16(4),
            reader.GetFieldValue<byte[]>(5),
            JsonSerializer.Deserialize<Dictionary<string, string>>(reader.GetString(6))!,
            reader.GetTimeSpan(7),
            reader.GetFieldValue<DateTimeOffset>(8),
            reader.GetFieldValue<DateTimeOffset>(9));
    }

    /// <summary>False: the occurrence had its outcome before.</summary>
    public static async Task<bool> SettleAsync(
        NpgsqlTransaction transaction, string scheduleId, DateTimeOffset occurrence, Guid? runId, string? reason, CancellationToken cancellationToken) =>
        await ExecuteAsync(
            "SettleOccurrence",
            transaction,
            cancellationToken,
            Of(scheduleId),
            Of(occurrence),
            Of(runId is null ? "skipped" : "started"),
            new NpgsqlParameter { Value = (object?)runId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
            Text(reason)).ConfigureAwait(false) > 0;

    public static Task AdvanceAsync(
        NpgsqlTransaction transaction, string scheduleId, ScheduleSpec spec, DateTimeOffset settledTo, CancellationToken cancellationToken)
    {
        var (next, at) = Next(scheduleId, spec, settledTo);
        return ExecuteAsync("AdvanceSchedule", transaction, cancellationToken, Of(scheduleId), Of(settledTo), Time(next), Time(at));
    }

    private static (DateTimeOffset? Occurrence, DateTimeOffset? At) Next(string scheduleId, ScheduleSpec spec, DateTimeOffset settledTo) =>
        Occurrences.After(spec, settledTo) is { } next ? (next, Occurrences.StartOf(scheduleId, spec, next)) : (null, null);

    private static ScheduleSpec Spec(string json) => JsonSerializer.Deserialize<ScheduleSpec>(json, JsonSerializerOptions.Web)!;

    private static NpgsqlParameter Json<T>(T value) =>
        new() { Value = JsonSerializer.Serialize(value, JsonSerializerOptions.Web), NpgsqlDbType = NpgsqlDbType.Jsonb };

    private static NpgsqlParameter<T> Of<T>(T value) => new() { TypedValue = value };

    private static NpgsqlParameter Text(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    private static NpgsqlParameter Time(DateTimeOffset? value) =>
        new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz };

    private static NpgsqlCommand Command(string name, NpgsqlTransaction transaction, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = new NpgsqlCommand(Sql[name], transaction.Connection, transaction);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }

    private static async Task<int> ExecuteAsync(
        string name, NpgsqlTransaction transaction, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        var command = Command(name, transaction, parameters);
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }
}
