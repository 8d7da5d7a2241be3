using System.Data;
using System.Text.Json;
using Exporter.Engine.Payloads;
using Exporter.Engine.Storage;
using Exporter.Engine.Workflows;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Client;

/// <summary>Starts runs, looks at them and steers them. Needs no worker in the process.</summary>
public sealed class EngineClient
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(EngineClient).Assembly, "sql/client.sql");
    private static readonly SqlFile Steering = SqlFile.Load(typeof(EngineClient).Assembly, "sql/steering.sql");
    private static readonly TimeSpan LongestOutage = TimeSpan.FromMinutes(1);
    private readonly PreparedStatements _prepared = new();
    private readonly NpgsqlDataSource _data;
    private readonly PayloadCodec _codec;
    private readonly TimeProvider _time;

    /// <summary>Makes a client.</summary>
    /// <param name="data">The engine's database.</param>
    /// <param name="codec">How payloads are stored; the same as the workers'.</param>
    /// <param name="time">For waits in this process. Default the system's.</param>
    public EngineClient(NpgsqlDataSource data, PayloadCodec codec, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(codec);
        _data = data;
        _codec = codec;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>Starts a run; durable when it returns, or, with a transaction, when that commits.</summary>
    /// <param name="workflow">The workflow's name; a worker that offers it need not exist yet.</param>
    /// <param name="input">What its code is called with.</param>
    /// <param name="options">See <see cref="StartOptions"/>.</param>
    /// <param name="transaction">The caller's own: the run exists if and only if it commits.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="PostgresException">The run id is taken (23505), or the database refused otherwise.</exception>
    public Task<RunHandle> StartAsync<TInput>(
        string workflow, TInput input, StartOptions? options = null, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default)
    {
        var valid = (options ?? new StartOptions()).Validate();
        var runId = valid.RunId ?? Guid.CreateVersion7();
        return StartAsync(runId, workflow, _codec.Write(input, Places.Input(runId)), valid, transaction, cancellationToken);
    }

    /// <summary>Starts many runs at once: all or none, durable when it returns, or, with a transaction, when that commits.</summary>
    /// <param name="workflow">The workflow's name; a worker that offers it need not exist yet.</param>
    /// <param name="runs">An input and options for each; null options are the defaults.</param>
    /// <param name="transaction">The caller's own: the runs exist if and only if it commits.</param>
    /// <param name="cancellationToken">Cancels the call; then none is started.</param>
    /// <returns>A handle for each, in their order; of those with one idempotency key at most one is new.</returns>
    /// <exception cref="PostgresException">A run id is taken (23505), or the database refused otherwise.</exception>
    public async Task<IReadOnlyList<RunHandle>> StartManyAsync<TInput>(
        string workflow, IReadOnlyList<(TInput Input, StartOptions? Options)> runs, NpgsqlTransaction? transaction = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(workflow);
        ArgumentNullException.ThrowIfNull(runs);
        byte[] Write(int place, Guid runId) => _codec.Write(runs[place].Input, Places.Input(runId));
        var (made, input, defaults) = (new List<NewRun>(runs.Count), (Func<int, Guid, byte[]>)Write, new StartOptions());
        for (var place = 0; place < runs.Count; place++)
        {
            var options = (runs[place].Options ?? defaults).Validate();
            made.Add(new NewRun(options.RunId ?? Guid.CreateVersion7(), place, input, options));
        }

        if (made.Count == 0 || transaction is not null)
        {
            // An input that cannot be written must not cost the caller what the transaction holds already.
            made.ForEach(run => run.Make());
            return made.Count == 0 ? [] : await new BulkStart(transaction!, workflow).StartAsync(made, cancellationToken).ConfigureAwait(false);
        }

        var connection = await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var own = await connection.BeginTransactionAsync(IsolationLevel.ReadCommitted, cancellationToken).ConfigureAwait(false);
        await using var ending = own.ConfigureAwait(false);
        var handles = await new BulkStart(own, workflow).StartAsync(made, cancellationToken).ConfigureAwait(false);
        await own.CommitAsync(cancellationToken).ConfigureAwait(false);
        return handles;
    }

    /// <summary>Asks a run to end. Its code is told; a run that never began ends at once.</summary>
    /// <returns>False when the run is final or not there.</returns>
    public async Task<bool> CancelAsync(Guid runId, CancellationToken cancellationToken = default) =>
        await CountAsync(Sql["CancelRun"], null, cancellationToken, Of(runId)).ConfigureAwait(false) > 0;

    /// <summary>Lets a run that failed, was cancelled, terminated or timed out go on from the step that failed.</summary>
    /// <returns>False when the run is none of these.</returns>
    public async Task<bool> RetryAsync(Guid runId, CancellationToken cancellationToken = default) =>
        await CountAsync(Sql["RetryRun"], null, cancellationToken, Of(runId)).ConfigureAwait(false) > 0;

    /// <summary>Ends a run at once, without its code: whoever holds it can write nothing more. Its children follow their policy.</summary>
    /// <param name="runId">The run.</param>
    /// <param name="reason">Why; becomes the run's error. Default "Terminated.".</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>False when the run is final or not there.</returns>
    public async Task<bool> TerminateAsync(Guid runId, string? reason = null, CancellationToken cancellationToken = default) =>
        await CountAsync(Steering["TerminateRuns"], null, cancellationToken, Of(new[] { runId }), Of(reason ?? "Terminated.")).ConfigureAwait(false) > 0;

    /// <summary>Lets a run do nothing more until <see cref="ResumeAsync"/>; steps in progress end first. Cancel ends the pause.</summary>
    /// <returns>False when the run is final, is to be cancelled, or is not there.</returns>
    public async Task<bool> PauseAsync(Guid runId, CancellationToken cancellationToken = default) =>
        await CountAsync(Steering["PauseRun"], null, cancellationToken, Of(runId)).ConfigureAwait(false) > 0;

    /// <summary>Lets a paused run go on.</summary>
    /// <returns>False when the run is not paused.</returns>
    public async Task<bool> ResumeAsync(Guid runId, CancellationToken cancellationToken = default) =>
        await CountAsync(Steering["ResumeRun"], null, cancellationToken, Of(runId)).ConfigureAwait(false) > 0;

    /// <summary>
    /// Lets a run, final or not, go on from an earlier step: what it recorded from that place on is forgotten and done again.
    /// Signals that it took there can be taken again; children that it started there stay as they are.
    /// </summary>
    /// <param name="runId">The run.</param>
    /// <param name="place">The first place to do again, as in <c>engine.steps</c>; 0 does all again.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>False when there is no such run.</returns>
    public async Task<bool> ResetAsync(Guid runId, int place, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(place);
        return await CountAsync(Steering["ResetRun"], null, cancellationToken, Of(runId), Of(place)).ConfigureAwait(false) > 0;
    }

    /// <summary>Sends a signal to a run, which takes it with <c>WaitForSignalAsync</c>, now or later, once.</summary>
    /// <param name="runId">A run that is not final.</param>
    /// <param name="name">The signal's name, at most 200 characters. Signals of one name are taken in the order in which they came.</param>
    /// <param name="value">What it carries.</param>
    /// <param name="idempotencyKey">A second signal to the run with this key is not sent. Default none; at most 500 characters.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>False when the key was there before.</returns>
    /// <exception cref="KeyNotFoundException">There is no such run, or it is final.</exception>
    public async Task<bool> SignalAsync<T>(
        Guid runId, string name, T value, string? idempotencyKey = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, 200, nameof(name));
        var command = Command(
            Steering["SendSignal"], null, Of(runId), Of(name), Text(idempotencyKey), Of(_codec.Write(value, Places.Signal(runId, name))));
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is long sent
            ? sent > 0
            : throw new KeyNotFoundException($"There is no run {runId} that could take a signal; it is final or was never started.");
    }

    /// <summary>What the engine knows of a run; null when there is none.</summary>
    public async Task<RunStatus?> GetAsync(Guid runId, CancellationToken cancellationToken = default) =>
        (await StatusesAsync(Command(Sql["GetRun"], null, Of(runId)), cancellationToken).ConfigureAwait(false)) is [var run] ? run : null;

    /// <summary>The runs that a filter lets through, the newest first.</summary>
    public Task<IReadOnlyList<RunStatus>> ListAsync(RunQuery? filter = null, CancellationToken cancellationToken = default)
    {
        var valid = filter ?? new RunQuery();
        ArgumentOutOfRangeException.ThrowIfLessThan(valid.Limit, 1, nameof(filter));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(valid.Limit, 10_000, nameof(filter));
        var tagged = valid.Tags.Count > 0;
        var command = Command(
            Steering[tagged ? "ListTaggedRuns" : "ListRuns"],
            null,
            Text(valid.Workflow),
            Text(valid.State?.ToText()),
            Text(valid.Queue),
            Time(valid.CreatedFrom),
            Time(valid.CreatedBefore),
            new NpgsqlParameter { Value = (object?)valid.ParentRunId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
            Of(valid.Limit));
        if (tagged)
        {
            command.Parameters.Add(Json(JsonSerializer.Serialize(valid.Tags)));
        }

        return StatusesAsync(command, cancellationToken);
    }

    /// <summary>Waits until a run is final, from any process. Sits out a database that is away for up to a minute.</summary>
    /// <exception cref="RunFailedException">It ended otherwise than completed.</exception>
    /// <exception cref="KeyNotFoundException">There is no such run.</exception>
    /// <exception cref="JsonException">Its output is not a <typeparamref name="TOutput"/>.</exception>
    public async Task<TOutput> ResultAsync<TOutput>(Guid runId, CancellationToken cancellationToken = default)
    {
        var answered = _time.GetTimestamp();
        for (var pause = TimeSpan.FromMilliseconds(10); ; pause = pause < TimeSpan.FromMilliseconds(500) ? pause * 1.5 : pause)
        {
            try
            {
                if (await FindResultAsync("GetResult", runId, cancellationToken).ConfigureAwait(false) is not { } run)
                {
                    throw new KeyNotFoundException($"There is no run {runId}.");
                }

                if (run.State is { } state)
                {
                    return state == RunState.Completed
                        ? _codec.Read<TOutput>(run.Output!, Places.Output(runId))
                        : throw new RunFailedException(runId, state, run.Error);
                }

                answered = _time.GetTimestamp();
            }
            catch (Exception error) when (TransientErrors.Include(error) && _time.GetElapsedTime(answered) < LongestOutage)
            {
                // Who waits for a run need not know that the database was restarted meanwhile.
            }

            await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Lines of a run's log.</summary>
    /// <param name="runId">The run.</param>
    /// <param name="afterId">Only lines after this one. Default all.</param>
    /// <param name="limit">At most so many. Default 1,000.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public async Task<IReadOnlyList<LogLine>> LogAsync(Guid runId, long afterId = 0, int limit = 1000, CancellationToken cancellationToken = default)
    {
        var command = Command(Sql["ReadLog"], null, Of(runId), Of(afterId), Of(limit));
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var lines = new List<LogLine>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            lines.Add(new LogLine(
                reader.GetInt64(0),
                reader.GetFieldValue<DateTimeOffset>(1),
                reader.GetString(2),
                reader.IsDBNull(3) ? null : reader.GetString(3),
                reader.GetString(4)));
        }

        return lines;
    }

    internal Task CancelAsync(Guid runId, NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        CountAsync(Sql["CancelRun"], transaction, cancellationToken, Of(runId));

    internal Task TerminateAsync(Guid runId, string reason, NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        CountAsync(Steering["TerminateRuns"], transaction, cancellationToken, Of(new[] { runId }), Of(reason));

    internal async Task<RunHandle> StartAsync(
        Guid runId, string workflow, byte[] input, StartOptions options, NpgsqlTransaction? transaction, CancellationToken cancellationToken, (Guid RunId, ParentClosePolicy OnClose)? parent = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(workflow);
        // In a transaction of the caller's the session is the caller's too, and nothing is left in it.
        var connection = transaction?.Connection ?? await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            while (true)
            {
                var start = new NpgsqlCommand(Sql["StartRun"], connection, transaction)
                {
                    Parameters =
                    {
                        Of(runId),
                        Of(workflow),
                        Of(options.Queue),
                        Of(options.Priority),
                        Text(options.IdempotencyKey),
                        Of(input),
                        Json(options.Tags.Count == 0 ? "{}" : JsonSerializer.Serialize(options.Tags)),
                        Time(options.StartAt),
                        new NpgsqlParameter { Value = (object?)options.ExecutionTimeout ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Interval },
                        Json(options.Retry is null ? null : StoredRetry.Of(options.Retry)),
                        new NpgsqlParameter { Value = (object?)options.Version ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer },
                        new NpgsqlParameter { Value = (object?)parent?.RunId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
                        Text(parent?.OnClose.ToString().ToLowerInvariant()),
                        Text(options.ConcurrencyKey),
                        Number(options.ConcurrencyKey is null ? null : options.ConcurrencyLimit),
                    },
                };
                await using (start.ConfigureAwait(false))
                {
                    if (transaction is null)
                    {
                        await _prepared.PrepareAsync(start, cancellationToken).ConfigureAwait(false);
                    }

                    if (await start.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is Guid)
                    {
                        return new RunHandle(runId, IsNew: true);
                    }
                }

                var find = new NpgsqlCommand(Sql["FindByKey"], connection, transaction) { Parameters = { Of(workflow), Text(options.IdempotencyKey) } };
                await using (find.ConfigureAwait(false))
                {
                    // None: the run of this key was removed just between the two statements.
                    if (await find.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is Guid existing)
                    {
                        return new RunHandle(existing, IsNew: false);
                    }
                }
            }
        }
        finally
        {
            if (transaction is null)
            {
                await connection.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static NpgsqlParameter<T> Of<T>(T value) => new() { TypedValue = value };

    private static NpgsqlParameter Text(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    private static NpgsqlParameter Number(int? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer };

    private static NpgsqlParameter Time(DateTimeOffset? value) =>
        new() { Value = (object?)value?.ToUniversalTime() ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz };

    private static NpgsqlParameter Json(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Jsonb };

    private static async Task<IReadOnlyList<RunStatus>> StatusesAsync(NpgsqlCommand command, CancellationToken cancellationToken)
    {
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var runs = new List<RunStatus>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            runs.Add(new RunStatus
            {
                RunId = reader.GetGuid(0),
                Workflow = reader.GetString(1),
                Queue = reader.GetString(2),
                State = RunStateText.Parse(reader.GetString(3)),
                Epoch = reader.GetInt64(4),
                Error = reader.IsDBNull(5) ? null : reader.GetString(5),
                CreatedAt = reader.GetFieldValue<DateTimeOffset>(6),
                DueAt = reader.IsDBNull(7) ? null : reader.GetFieldValue<DateTimeOffset>(7),
                FinishedAt = reader.IsDBNull(8) ? null : reader.GetFieldValue<DateTimeOffset>(8),
                CancelRequested = reader.GetBoolean(9),
                CustomStatus = reader.IsDBNull(10) ? null : reader.GetString(10),
                Version = reader.IsDBNull(11) ? null : reader.GetInt32(11),
                RunAttempt = reader.IsDBNull(12) ? 1 : reader.GetInt32(12),
                ParentRunId = reader.IsDBNull(13) ? null : reader.GetGuid(13),
                Tags = JsonSerializer.Deserialize<Dictionary<string, string>>(reader.GetString(14))!,
            });
        }

        return runs;
    }

    private NpgsqlCommand Command(string sql, NpgsqlTransaction? transaction, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = transaction is null
            ? _data.CreateCommand(sql)
            : new NpgsqlCommand(sql, transaction.Connection, transaction);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }

    private async Task<long> CountAsync(
        string sql, NpgsqlTransaction? transaction, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        var command = Command(sql, transaction, parameters);
        await using var disposing = command.ConfigureAwait(false);
        return (long)(await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
    }

    internal async Task<(RunState State, byte[]? Output, string? Error)?> OutcomeAsync(Guid runId, CancellationToken cancellationToken) =>
        await FindResultAsync("GetOutcome", runId, cancellationToken).ConfigureAwait(false) is { State: { } state } outcome
            ? (state, outcome.Output, outcome.Error)
            : null;

    private async Task<(RunState? State, byte[]? Output, string? Error)?> FindResultAsync(string statement, Guid runId, CancellationToken cancellationToken)
    {
        var connection = await _data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closingConnection = connection.ConfigureAwait(false);
        var command = new NpgsqlCommand(Sql[statement], connection) { Parameters = { Of(runId) } };
        await using var disposing = command.ConfigureAwait(false);
        await _prepared.PrepareAsync(command, cancellationToken).ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        return !await reader.ReadAsync(cancellationToken).ConfigureAwait(false)
            ? null
            : (reader.IsDBNull(0) ? null : RunStateText.Parse(reader.GetString(0)),
                reader.IsDBNull(1) ? null : reader.GetFieldValue<byte[]>(1),
                reader.IsDBNull(2) ? null : reader.GetString(2));
    }
}
