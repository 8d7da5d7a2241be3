using System.Text.Json;
using Exporter.Engine.Scheduling;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Storage;

/// <summary>A schedule as it is stored, at a time.</summary>
internal sealed record StoredSchedule
{
    public required Schedule Schedule { get; init; }

    public required byte[] Input { get; init; }

    public required bool Paused { get; init; }

    public string? Note { get; init; }

    public required DateTimeOffset SettledTo { get; init; }

    public DateTimeOffset? NextOccurrence { get; init; }

    public DateTimeOffset? NextAt { get; init; }

    public DateTimeOffset? SkipUntil { get; init; }

    public required int Buffered { get; init; }

    public required bool Blocked { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; init; }

    public required DateTimeOffset Now { get; init; }

    public string Id => Schedule.Id;
}

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

    public static async Task<StoredSchedule?> LockAsync(NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken) =>
        (await ReadAsync("LockSchedule", transaction, Stored, cancellationToken, Of(scheduleId)).ConfigureAwait(false)).SingleOrDefault();

    public static Task<List<StoredSchedule>> ListAsync(
        NpgsqlTransaction transaction, string? scheduleId, string after, int limit, CancellationToken cancellationToken) =>
        ReadAsync("ListSchedules", transaction, Stored, cancellationToken, Text(scheduleId), Text(after), Of(limit));

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
            Time(at),
            Of(OverlapPolicyText.Of(schedule.Overlap)),
            Text(schedule.ConcurrencyKey),
            new NpgsqlParameter { Value = schedule.ConcurrencyKey is null ? DBNull.Value : schedule.ConcurrencyLimit, NpgsqlDbType = NpgsqlDbType.Integer });
    }

    public static async Task<bool> PauseAsync(
        NpgsqlTransaction transaction, string scheduleId, string? note, bool blocked, CancellationToken cancellationToken) =>
        await ExecuteAsync("PauseSchedule", transaction, cancellationToken, Of(scheduleId), Text(note), Of(blocked)).ConfigureAwait(false) > 0;

    public static async Task<bool> UnpauseAsync(NpgsqlTransaction transaction, string scheduleId, string? note, CancellationToken cancellationToken) =>
        await ExecuteAsync("UnpauseSchedule", transaction, cancellationToken, Of(scheduleId), Text(note)).ConfigureAwait(false) > 0;

    public static async Task<bool> DeleteAsync(NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken) =>
        (await ReadAsync("DeleteSchedule", transaction, row => row.GetInt64(0), cancellationToken, Of(scheduleId)).ConfigureAwait(false))[0] > 0;

    /// <summary>A schedule that has something to decide, none of those that come later; its row is locked.</summary>
    public static async Task<StoredSchedule?> TakeAsync(
        NpgsqlTransaction transaction, IEnumerable<string> later, CancellationToken cancellationToken)
    {
        var found = await ReadAsync("TakeDue", transaction, row => row.GetString(0), cancellationToken, Of(later.ToArray())).ConfigureAwait(false);
        if (found.Count == 0)
        {
            found = await ReadAsync("TakeReady", transaction, row => row.GetString(0), cancellationToken).ConfigureAwait(false);
        }

        return found.Count == 0 ? null : await LockAsync(transaction, found[0], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The runs of the schedule that are going.</summary>
    public static async Task<List<Guid>> GoingAsync(NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken)
    {
        await ExecuteAsync("CloseEnded", transaction, cancellationToken, Of(scheduleId)).ConfigureAwait(false);
        return await ReadAsync("Going", transaction, row => row.GetGuid(0), cancellationToken, Of(scheduleId)).ConfigureAwait(false);
    }

    public static Task<List<(OccurrenceKey Key, OverlapPolicy Overlap)>> BufferAsync(
        NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken) =>
        ReadAsync("Buffer", transaction, row => (Key(row), OverlapPolicyText.Parse(row.GetString(3))), cancellationToken, Of(scheduleId));

    /// <summary>Records outcomes; answers those that are new.</summary>
    public static Task<List<(OccurrenceKey Key, ScheduleOccurrence Occurrence)>> RecordAsync(
        NpgsqlTransaction transaction, string scheduleId, IReadOnlyList<Decision> decisions, CancellationToken cancellationToken) =>
        ReadAsync(
            "RecordOutcomes",
            transaction,
            row => (Key(row), Occurrence(row)),
            cancellationToken,
            Of(scheduleId),
            Of(decisions.Select(decision => decision.Key.Time.ToUniversalTime()).ToArray()),
            Of(decisions.Select(decision => Name(decision.Key.Cause)).ToArray()),
            Of(decisions.Select(decision => decision.Key.RequestId).ToArray()),
            Of(decisions.Select(decision => OverlapPolicyText.Of(decision.Overlap)).ToArray()),
            Of(decisions.Select(decision => Name(decision.Outcome)).ToArray()),
            Of(decisions.Select(decision => decision.Outcome == OccurrenceOutcome.Started ? Occurrences.RunIdOf(scheduleId, decision.Key) : (Guid?)null).ToArray()),
            Of(decisions.Select(decision => decision.Reason).ToArray()));

    public static Task AdvanceAsync(
        NpgsqlTransaction transaction, string scheduleId, DateTimeOffset settledTo, DateTimeOffset? next, DateTimeOffset? at, CancellationToken cancellationToken) =>
        ExecuteAsync("AdvanceSchedule", transaction, cancellationToken, Of(scheduleId), Of(settledTo), Time(next), Time(at));

    public static Task<List<ScheduleOccurrence>> RequestAsync(
        NpgsqlTransaction transaction, string scheduleId, Guid requestId, CancellationToken cancellationToken) =>
        ReadAsync("FindRequest", transaction, Occurrence, cancellationToken, Of(scheduleId), Of(requestId));

    public static Task<List<ScheduleOccurrence>> RecentAsync(
        NpgsqlTransaction transaction, string scheduleId, int limit, CancellationToken cancellationToken) =>
        ReadAsync("Recent", transaction, Occurrence, cancellationToken, Of(scheduleId), Of(limit));

    public static Task<List<Guid>> RunningAsync(NpgsqlTransaction transaction, string scheduleId, CancellationToken cancellationToken) =>
        ReadAsync("Running", transaction, row => row.GetGuid(0), cancellationToken, Of(scheduleId));

    /// <summary>The first occurrence of a rule after a time, and when it is due.</summary>
    public static (DateTimeOffset? Occurrence, DateTimeOffset? At) Next(string scheduleId, ScheduleSpec spec, DateTimeOffset settledTo) =>
        Occurrences.After(spec, settledTo) is { } next ? (next, Occurrences.StartOf(scheduleId, spec, next)) : (null, null);

    /// <summary>Whether two rules are stored as the same.</summary>
    public static bool Equal(ScheduleSpec one, ScheduleSpec other) =>
        JsonSerializer.Serialize(one, JsonSerializerOptions.Web) == JsonSerializer.Serialize(other, JsonSerializerOptions.Web);

    private static StoredSchedule Stored(NpgsqlDataReader row) => new()
    {
        Schedule = new Schedule
        {
            Id = row.GetString(0),
            Spec = JsonSerializer.Deserialize<ScheduleSpec>(row.GetString(1), JsonSerializerOptions.Web)!,
            Workflow = row.GetString(2),
            Queue = row.GetString(3),
            Priority = row.GetInt16(4),
            Tags = JsonSerializer.Deserialize<Dictionary<string, string>>(row.GetString(6))!,
            CatchUpWindow = row.GetTimeSpan(7),
            Overlap = OverlapPolicyText.Parse(row.GetString(8)),
            ConcurrencyKey = row.IsDBNull(20) ? null : row.GetString(20),
            ConcurrencyLimit = row.IsDBNull(21) ? 1 : row.GetInt32(21),
        },
        Input = row.GetFieldValue<byte[]>(5),
        Paused = row.GetBoolean(9),
        Note = row.IsDBNull(10) ? null : row.GetString(10),
        SettledTo = row.GetFieldValue<DateTimeOffset>(11),
        NextOccurrence = Time(row, 12),
        NextAt = Time(row, 13),
        SkipUntil = Time(row, 14),
        Buffered = row.GetInt32(15),
        Blocked = row.GetBoolean(16),
        CreatedAt = row.GetFieldValue<DateTimeOffset>(17),
        UpdatedAt = row.GetFieldValue<DateTimeOffset>(18),
        Now = row.GetFieldValue<DateTimeOffset>(19),
    };

    private static OccurrenceKey Key(NpgsqlDataReader row) =>
        new(row.GetFieldValue<DateTimeOffset>(0), Enum.Parse<OccurrenceCause>(row.GetString(1), ignoreCase: true), row.GetGuid(2));

    private static ScheduleOccurrence Occurrence(NpgsqlDataReader row) => new()
    {
        Time = row.GetFieldValue<DateTimeOffset>(0),
        Cause = Enum.Parse<OccurrenceCause>(row.GetString(1), ignoreCase: true),
        RequestId = row.GetGuid(2) is var request && request == Guid.Empty ? null : request,
        Outcome = Enum.Parse<OccurrenceOutcome>(row.GetString(3), ignoreCase: true),
        RunId = row.IsDBNull(4) ? null : row.GetGuid(4),
        Reason = row.IsDBNull(5) ? null : row.GetString(5),
    };

    private static string Name<TEnum>(TEnum value)
        where TEnum : struct, Enum => value.ToString().ToLowerInvariant();

    private static DateTimeOffset? Time(NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetFieldValue<DateTimeOffset>(column);

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

    private static async Task<List<T>> ReadAsync<T>(
        string name, NpgsqlTransaction transaction, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        var command = Command(name, transaction, parameters);
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var rows = new List<T>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            rows.Add(read(reader));
        }

        return rows;
    }

    private static async Task<int> ExecuteAsync(
        string name, NpgsqlTransaction transaction, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        var command = Command(name, transaction, parameters);
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }
}
