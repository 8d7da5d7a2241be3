using System.Runtime.InteropServices;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Storage;

/// <summary>A run as it was claimed.</summary>
internal sealed record ClaimedRun(
    Guid RunId, string Workflow, long Epoch, long BaseEpoch, bool CancelRequested, byte[] Input, DateTimeOffset? ScheduledFor)
{
    public required string Queue { get; init; }

    public required short Priority { get; init; }

    /// <summary>When it was due, by the database's clock.</summary>
    public required DateTime DueAt { get; init; }

    /// <summary>The version of its code.</summary>
    public required int Version { get; init; }

    /// <summary>How often the run as a whole was begun.</summary>
    public required int RunAttempt { get; init; }

    /// <summary>Whether another run has to hear of its end.</summary>
    public required bool HasParent { get; init; }

    /// <summary>Whether its end means something for children.</summary>
    public required bool HasChildren { get; init; }

    /// <summary>When a failure of the run as a whole is tried again, as stored.</summary>
    public string? Retry { get; init; }

    /// <summary>What earlier claims recorded, by place.</summary>
    public Dictionary<int, StepRecord> Records { get; } = [];

    /// <summary>What earlier attempts of unrecorded steps left, by place.</summary>
    public Dictionary<int, BegunStep> Begun { get; } = [];
}

/// <summary>A recorded step: an output, a final failure, or a timer with the time that is left of it.</summary>
internal sealed record StepRecord(string Name, int Attempts, byte[]? Output, string? Error, TimeSpan? WakeIn);

/// <summary>A step that had begun: its last attempt's number, how many attempts count, its checkpoint and waits.</summary>
internal sealed record BegunStep(int Attempt, int Counted, byte[]? Checkpoint, TimeSpan? RetryIn, TimeSpan? BegunAgo);

/// <summary>What a worker finds around it when it looks.</summary>
/// <param name="Ready">Whether runs of its queue wait to be claimed.</param>
/// <param name="DueIn">When the next waiting run is due.</param>
/// <param name="ScheduleIn">When the next schedule is due.</param>
/// <param name="Buffered">Whether a schedule has something in its buffer.</param>
/// <param name="ToSweep">Whether <see cref="WorkerStore.SweepAsync"/> or <see cref="WorkerStore.ForgetAsync"/> would find anything.</param>
/// <param name="ToCarry">Whether deadlines have passed, or ends of runs wait to be carried.</param>
internal sealed record Surroundings(bool Ready, TimeSpan? DueIn, TimeSpan? ScheduleIn, bool Buffered, bool ToSweep, bool ToCarry);

/// <summary>A worker's statements about itself and the runs that it takes.</summary>
internal sealed class WorkerStore(NpgsqlDataSource data, Guid workerId, QuietConnection? quiet = null, TimeProvider? time = null)
{
    private static readonly SqlFile Queues = SqlFile.Load(typeof(WorkerStore).Assembly, "sql/queues.sql");
    private static readonly SqlFile Sql = SqlFile.Load(typeof(WorkerStore).Assembly, "sql/worker.sql");
    // Seconds. A look may wait for a lock, and the lease's renewal with it.
    private const int LongestLook = 2;
    private readonly GuardedClaims _guarded = new(workerId);
    private readonly ClaimFront _front = new(time ?? TimeProvider.System);

    /// <summary>When to claim again after the last claim although nothing happens; null when there is no reason to.</summary>
    public TimeSpan? ClaimAgainIn { get; private set; }

    public async Task RegisterAsync(
        string name, string queue, int slots, TimeSpan lease, WorkflowOffer offer, CancellationToken cancellationToken)
    {
        var batch = data.CreateBatch();
        await using var disposing = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["RegisterWorker"]) { Parameters = { Of(workerId), Of(name), Of(queue), Of(slots), Of(lease) } });
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["OfferWorkflows"]) { Parameters = { Of(workerId), Of(offer.AllNames), Of(offer.AllVersions) } });
        await batch.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The connection that the lease, looks and claims share while the worker is idle.</summary>
    public QuietConnection? Quiet => quiet;

    /// <summary>A connection for renewals alone.</summary>
    public NpgsqlConnection Connect() => data.OpenConnection();

    /// <summary>False: the lease was taken away. Needs no thread but the caller's.</summary>
    public bool Renew(NpgsqlConnection connection, TimeSpan lease, int executing, bool stopping, long refused)
    {
        using var command = new NpgsqlCommand(Sql["RenewLease"], connection)
        {
            Parameters = { Of(workerId), Of(lease), Of(executing), Of(stopping ? "stopping" : "active"), Of(refused) },
            CommandTimeout = Math.Max(2, (int)(lease / 3).TotalSeconds),
        };
        return command.ExecuteScalar() is not null;
    }

    /// <summary>What became of the runs that this worker holds: to be cancelled, to be paused, or taken away.</summary>
    public async Task<List<(Guid RunId, string Order)>> SteeredAsync(Guid[] held, CancellationToken cancellationToken)
    {
        var batch = data.CreateBatch();
        await using var disposing = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(WriteStore.PlanForMany());
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["SteeredRuns"]) { Parameters = { Of(workerId), Of(held) } });
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        var runs = new List<(Guid, string)>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            runs.Add((reader.GetGuid(0), reader.GetString(1)));
        }

        return runs;
    }

    public Task StopAsync(long refused, CancellationToken cancellationToken) =>
        ExecuteAsync("StopWorker", cancellationToken, Of(workerId), Of(refused));

    public Task CountRefusedAsync(long refused, CancellationToken cancellationToken) =>
        ExecuteAsync("CountRefused", cancellationToken, Of(workerId), Of(refused));

    /// <summary>What there is to do. Needs no thread but the caller's.</summary>
    public static Surroundings Look(NpgsqlConnection connection, string queue, TimeSpan? keep)
    {
        using var command = new NpgsqlCommand(Sql["LookAround"], connection) { CommandTimeout = LongestLook };
        command.Parameters.Add(Of(queue));
        command.Parameters.Add(Keep(keep));
        using var reader = command.ExecuteReader();
        reader.Read();
        return Around(reader);
    }

    /// <summary>What there is to do.</summary>
    public async Task<Surroundings> LookAsync(string queue, TimeSpan? keep, CancellationToken cancellationToken)
    {
        var command = Command("LookAround", Of(queue), Keep(keep));
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        return Around(reader);
    }

    /// <summary>Marks workers lost whose lease has ended, and queues the runs of lost workers again.</summary>
    /// <returns>The workers that were marked, and how many runs were freed.</returns>
    public async Task<(List<(Guid Id, string Name)> Lost, int Freed)> SweepAsync(TimeSpan lease, CancellationToken cancellationToken)
    {
        var lost = new List<(Guid, string)>();
        var mark = Command("MarkLost");
        await using (mark.ConfigureAwait(false))
        {
            var reader = await mark.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            {
                lost.Add((reader.GetGuid(0), reader.GetString(1)));
            }
        }

        var freed = 0;
        var release = Command("ReleaseLost");
        await using (release.ConfigureAwait(false))
        {
            var reader = await release.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            {
                freed++;
            }
        }

        await ExecuteAsync("EndSessionsOfLost", cancellationToken, Of(lease)).ConfigureAwait(false);
        await ExecuteAsync("ForgetWorkers", cancellationToken).ConfigureAwait(false);
        return (lost, freed);
    }

    /// <summary>Removes what belongs to runs that were final so long ago.</summary>
    /// <returns>How many runs were removed, at most the limit.</returns>
    public async Task<int> ForgetAsync(TimeSpan keep, int limit, CancellationToken cancellationToken)
    {
        var command = Command("ForgetRuns", Of(keep), Of(limit));
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    public async Task<List<ClaimedRun>> ClaimAsync(string queue, WorkflowOffer offer, int limit, CancellationToken cancellationToken)
    {
        ClaimAgainIn = null;
        using var turn = Quiet?.TryTake();
        if (turn is not null)
        {
            var claimed = await ClaimAsync(await turn.OpenAsync(cancellationToken).ConfigureAwait(false), queue, offer, limit, cancellationToken).ConfigureAwait(false);
            turn.Keep();
            return claimed;
        }

        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        return await ClaimAsync(connection, queue, offer, limit, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>How many runs of a queue are due and wait for a slot, and for how long the oldest has been due.</summary>
    public async Task<(long Depth, TimeSpan Age)> MeasureAsync(string queue, CancellationToken cancellationToken)
    {
        var command = data.CreateCommand(Queues["MeasureQueue"]);
        await using var disposing = command.ConfigureAwait(false);
        command.Parameters.Add(Of(queue));
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        return (reader.GetInt64(0), TimeSpan.FromSeconds(reader.GetDouble(1)));
    }

    /// <summary>How many runs of these queues have been due for so long and find no live worker that offers their code.</summary>
    public static async Task<long> CountStrandedAsync(
        NpgsqlConnection connection, string[] queues, TimeSpan after, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(Sql["CountStranded"], connection) { Parameters = { Of(queues), Of(after) } };
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) as long? ?? 0;
    }

    /// <summary>Gives back what this worker holds and does not know of.</summary>
    public Task GiveBackStraysAsync(Guid[] known, CancellationToken cancellationToken) =>
        ExecuteAsync("GiveBackStrays", cancellationToken, Of(workerId), Of(known));

    /// <summary>Fills in what earlier claims of these runs have recorded.</summary>
    public async Task LoadAsync(IReadOnlyList<ClaimedRun> runs, CancellationToken cancellationToken)
    {
        var byId = runs.ToDictionary(run => run.RunId);
        var ids = byId.Keys.ToArray();
        var batch = data.CreateBatch();
        await using var disposing = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["LoadRecords"]) { Parameters = { Of(ids) } });
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["LoadOpenSteps"])
        {
            Parameters = { Of(ids), Of(Array.ConvertAll(ids, id => byId[id].BaseEpoch)) },
        });
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            byId[reader.GetGuid(0)].Records[reader.GetInt32(1)] = new StepRecord(
                reader.GetString(2),
                reader.GetInt32(3),
                reader.IsDBNull(4) ? null : reader.GetFieldValue<byte[]>(4),
                reader.IsDBNull(5) ? null : reader.GetString(5),
                Seconds(reader, 6));
        }

        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            byId[reader.GetGuid(0)].Begun[reader.GetInt32(1)] = new BegunStep(
                reader.GetInt32(3),
                reader.GetInt32(4),
                reader.IsDBNull(2) ? null : reader.GetFieldValue<byte[]>(2),
                Seconds(reader, 5),
                Seconds(reader, 6));
        }
    }

    private static NpgsqlParameter Keep(TimeSpan? keep) => new() { Value = (object?)keep ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Interval };

    private static Surroundings Around(NpgsqlDataReader reader) => new(
        reader.GetBoolean(0), Seconds(reader, 1), Seconds(reader, 2), reader.GetBoolean(3), reader.GetBoolean(4), reader.GetBoolean(5));

    private async Task<List<ClaimedRun>> ClaimAsync(
        NpgsqlConnection connection, string queue, WorkflowOffer offer, int limit, CancellationToken cancellationToken)
    {
        var runs = new List<ClaimedRun>();
        var start = _front.Begin();
        bool guarded;
        var batch = new NpgsqlBatch(connection);
        await using (batch.ConfigureAwait(false))
        {
            var wake = new NpgsqlBatchCommand(Sql["WakeDue"]) { Parameters = { Of(start.WakeFrom) } };
            batch.BatchCommands.Add(WriteStore.PlanForMany());
            batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["MeasureLook"]));
            batch.BatchCommands.Add(wake);
            batch.BatchCommands.Add(GuardedClaims.NeedsGuard(queue));
            batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["ClaimRuns"])
            {
                Parameters =
                {
                    Of(workerId), Of(queue), Of(offer.Codes), Of(limit), Of(offer.Names), Of(offer.Newest),
                    Of(start.Priorities),
                    new NpgsqlParameter<DateTime[]> { TypedValue = start.DueFrom, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
                    Of(start.Below),
                },
            });
            batch.BatchCommands.Add(new NpgsqlBatchCommand(Sql["MeasureLook"]));
            var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
            await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            var (clock, before) = (reader.GetDateTime(0), reader.GetInt64(1));
            await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
            guarded = await reader.ReadAsync(cancellationToken).ConfigureAwait(false) && reader.GetBoolean(0);
            await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
            await GuardedClaims.ReadAsync(reader, queue, runs, cancellationToken).ConfigureAwait(false);
            await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
            await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (!guarded)
            {
                _front.Looked(start, clock, reader.GetInt64(1) - before, (int)wake.RecordsAffected, CollectionsMarshal.AsSpan(runs), limit);
            }
        }

        // What the first statement claimed is this worker's by now, so it must reach the caller whatever happens here.
        ClaimAgainIn = guarded && runs.Count == 0
            ? await _guarded.ClaimAsync(connection, queue, offer, limit, runs, cancellationToken).ConfigureAwait(false)
            : guarded ? TimeSpan.Zero : _front.FrontIn;
        return runs;
    }

    private static TimeSpan? Seconds(NpgsqlDataReader reader, int column) =>
        reader.IsDBNull(column) ? null : TimeSpan.FromSeconds(reader.GetDouble(column));

    private static NpgsqlParameter<T> Of<T>(T value) => new() { TypedValue = value };

    private NpgsqlCommand Command(string name, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = data.CreateCommand(Sql[name]);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }

    private async Task ExecuteAsync(string name, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        var command = Command(name, parameters);
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }
}
