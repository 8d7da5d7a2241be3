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

/// <summary>A run that an occurrence starts.</summary>
internal sealed record ScheduledRun(Guid RunId, Schedule Schedule, DateTimeOffset For, byte[] Input);

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
        (await LockAsync(transaction, [scheduleId], cancellationToken).ConfigureAwait(false)).SingleOrDefault();

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

    /// <summary>Lets firers look, when the transaction commits, whether something is due sooner than they know.</summary>
    public static Task TellFirersAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        ExecuteAsync("TellFirers", transaction, cancellationToken);

    /// <summary>How long it is until a schedule is due, null when none will be, and whether any keeps occurrences.</summary>
    public static async Task<(TimeSpan? Until, bool Buffered)> FindDueAsync(NpgsqlDataSource data, CancellationToken cancellationToken)
    {
        var command = data.CreateCommand(Sql["FindDue"]);
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        return (reader.IsDBNull(0) ? null : reader.GetTimeSpan(0), reader.GetBoolean(1));
    }

    /// <summary>Schedules that have something to decide, the longest due first, none of those that come later; their rows are locked.</summary>
    public static async Task<List<StoredSchedule>> TakeAsync(
        NpgsqlTransaction transaction, IEnumerable<string> later, int limit, CancellationToken cancellationToken)
    {
        var found = await ReadAsync(
            "TakeDue", transaction, row => row.GetString(0), cancellationToken, Of(later.ToArray()), Of(limit)).ConfigureAwait(false);
        if (found.Count == 0)
        {
            found = await ReadAsync("TakeReady", transaction, row => row.GetString(0), cancellationToken, Of(limit)).ConfigureAwait(false);
        }

        return found.Count == 0 ? [] : await LockAsync(transaction, [.. found], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Of locked schedules: the runs that are going, and the occurrences that they keep.</summary>
    public static async Task<(ILookup<string, Guid> Going, ILookup<string, (OccurrenceKey Key, OverlapPolicy Overlap)> Buffers)> PresentAsync(
        NpgsqlTransaction transaction, IReadOnlyList<StoredSchedule> schedules, CancellationToken cancellationToken)
    {
        var batch = new NpgsqlBatch(transaction.Connection, transaction);
        await using var disposing = batch.ConfigureAwait(false);
        var ids = schedules.Select(stored => stored.Id).ToArray();
        batch.BatchCommands.Add(BatchCommand("CloseEnded", Of(ids)));
        batch.BatchCommands.Add(BatchCommand("Going", Of(ids)));
        batch.BatchCommands.Add(BatchCommand("Buffer", Of(schedules.Where(stored => stored.Buffered > 0).Select(stored => stored.Id).ToArray())));
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var going = new List<(string Schedule, Guid RunId)>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            going.Add((reader.GetString(0), reader.GetGuid(1)));
        }

        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        var buffered = new List<(string Schedule, OccurrenceKey Key, OverlapPolicy Overlap)>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            buffered.Add((reader.GetString(4), Key(reader), OverlapPolicyText.Parse(reader.GetString(3))));
        }

        return (going.ToLookup(one => one.Schedule, one => one.RunId), buffered.ToLookup(one => one.Schedule, one => (one.Key, one.Overlap)));
    }

    /// <summary>Records outcomes; answers those that are new.</summary>
    public static Task<List<(string ScheduleId, OccurrenceKey Key, ScheduleOccurrence Occurrence)>> RecordAsync(
        NpgsqlTransaction transaction, IReadOnlyList<(string ScheduleId, Decision Decision)> decided, CancellationToken cancellationToken) =>
        ReadAsync(
            "RecordOutcomes",
            transaction,
            row => (row.GetString(6), Key(row), Occurrence(row)),
            cancellationToken,
            Each(decided, one => one.ScheduleId),
            Each(decided, one => one.Decision.Key.Time.ToUniversalTime()),
            Each(decided, one => Name(one.Decision.Key.Cause)),
            Each(decided, one => one.Decision.Key.RequestId),
            Each(decided, one => OverlapPolicyText.Of(one.Decision.Overlap)),
            Each(decided, one => Name(one.Decision.Outcome)),
            Each(decided, one => one.Decision.Outcome == OccurrenceOutcome.Started ? Occurrences.RunIdOf(one.ScheduleId, one.Decision.Key) : (Guid?)null),
            Each(decided, one => one.Decision.Reason));

    /// <summary>Starts runs, and moves schedules on to what comes next.</summary>
    public static async Task StartAsync(
        NpgsqlTransaction transaction, IReadOnlyList<ScheduledRun> runs, IReadOnlyList<StoredSchedule> moved, CancellationToken cancellationToken)
    {
        var batch = new NpgsqlBatch(transaction.Connection, transaction);
        await using var disposing = batch.ConfigureAwait(false);
        if (runs.Count > 0)
        {
            batch.BatchCommands.Add(BatchCommand(
                "StartScheduled",
                Each(runs, run => run.RunId),
                Each(runs, run => run.Schedule.Workflow),
                Each(runs, run => run.Schedule.Queue),
                Each(runs, run => run.Schedule.Priority),
                Each(runs, run => run.Input),
                Each(runs, run => JsonSerializer.Serialize(run.Schedule.Tags)),
                Each(runs, run => run.Schedule.Id),
                Each(runs, run => run.For.ToUniversalTime()),
                Each(runs, run => run.Schedule.ConcurrencyKey),
                Each(runs, run => run.Schedule.ConcurrencyKey is null ? null : (int?)run.Schedule.ConcurrencyLimit)));
        }

        batch.BatchCommands.Add(BatchCommand(
            "AdvanceSchedules",
            Each(moved, stored => stored.Id),
            Each(moved, stored => stored.SettledTo.ToUniversalTime()),
            Each(moved, stored => stored.NextOccurrence?.ToUniversalTime()),
            Each(moved, stored => stored.NextAt?.ToUniversalTime())));
        await batch.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

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

    private static async Task<List<StoredSchedule>> LockAsync(NpgsqlTransaction transaction, string[] scheduleIds, CancellationToken cancellationToken)
    {
        var locked = await ReadAsync("LockSchedules", transaction, Stored, cancellationToken, Of(scheduleIds)).ConfigureAwait(false);
        return scheduleIds.Length < 2 ? locked : [.. locked.OrderBy(stored => stored.NextAt)];
    }

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

    private static NpgsqlParameter<T[]> Each<TRow, T>(IEnumerable<TRow> rows, Func<TRow, T> value) => Of(rows.Select(value).ToArray());

    private static NpgsqlBatchCommand BatchCommand(string name, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = new NpgsqlBatchCommand(Sql[name]);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }

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
