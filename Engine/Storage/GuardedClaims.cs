using System.Data;
using Exporter.Engine.Workers;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Storage;

/// <summary>
/// Claims where limits have to be kept: one claimer of a queue at a time counts, picks and claims, under the queue's advisory
/// lock. Who does not get the lock comes back in a moment.
/// </summary>
internal sealed class GuardedClaims(Guid workerId)
{
    // Keys looked at in one claim; where there are more, the next claim looks further.
    private const int Window = 500;
    private static readonly SqlFile Sql = SqlFile.Load(typeof(GuardedClaims).Assembly, "sql/queues.sql");
    private (short Priority, string Key)? _lookedTo;

    public static NpgsqlBatchCommand NeedsGuard(string queue) => new(Sql["NeedsGuard"]) { Parameters = { Of(queue) } };

    /// <summary>Adds what it claims to the runs.</summary>
    /// <returns>When to claim again although nothing happens; null when there is no reason to.</returns>
    public async Task<TimeSpan?> ClaimAsync(
        NpgsqlConnection connection, string queue, WorkflowOffer offer, int free, List<ClaimedRun> runs, CancellationToken cancellationToken)
    {
        // Read committed, whatever the database's default: each statement has to see what was committed before the lock was got.
        var transaction = await connection.BeginTransactionAsync(IsolationLevel.ReadCommitted, cancellationToken).ConfigureAwait(false);
        await using var ending = transaction.ConfigureAwait(false);
        if (!await LockAsync(connection, transaction, queue, cancellationToken).ConfigureAwait(false))
        {
            return TimeSpan.FromMilliseconds(Random.Shared.Next(3, 15));
        }

        var (plan, lookFurther) = await PlanAsync(connection, transaction, queue, offer, free, cancellationToken).ConfigureAwait(false);
        if (plan.Picked.Count > 0)
        {
            var claim = new NpgsqlCommand(Sql["ClaimPicked"], connection, transaction)
            {
                Parameters = { Of(workerId), Of(queue), Of(plan.Picked.ToArray()), Of(offer.Names), Of(offer.Newest) },
            };
            await using var disposing = claim.ConfigureAwait(false);
            var reader = await claim.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
            await using var closing = reader.ConfigureAwait(false);
            await ReadAsync(reader, queue, runs, cancellationToken).ConfigureAwait(false);
        }

        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);

        // Of each key only the first few were looked at: while slots are left, the next look may find more.
        // Picked and not got, because a write had it locked or the own lease is over: not at once, or this would spin.
        return runs.Count > 0 || (lookFurther && plan.Picked.Count == 0) ? TimeSpan.Zero
            : plan.Picked.Count > 0 ? TimeSpan.FromMilliseconds(10)
            : plan.NextTokenIn;
    }

    public static async Task ReadAsync(NpgsqlDataReader reader, string queue, List<ClaimedRun> runs, CancellationToken cancellationToken)
    {
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            runs.Add(new ClaimedRun(
                reader.GetGuid(0),
                reader.GetString(1),
                reader.GetInt64(2),
                reader.GetInt64(3),
                reader.GetBoolean(4),
                reader.GetFieldValue<byte[]>(5),
                reader.IsDBNull(6) ? null : reader.GetFieldValue<DateTimeOffset>(6))
            {
                Queue = queue, Version = reader.GetInt32(7), RunAttempt = reader.GetInt32(8), Retry = reader.IsDBNull(9) ? null : reader.GetString(9),
                HasParent = reader.GetBoolean(10), HasChildren = reader.GetBoolean(11),
                Priority = reader.GetInt16(12), DueAt = reader.GetDateTime(13),
            });
        }
    }

    private static async Task<bool> LockAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, string queue, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(Sql["TryLockQueue"], connection, transaction) { Parameters = { Of(queue) } };
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        return reader.GetBoolean(1);
    }

    private async Task<(ClaimPlan Plan, bool LookFurther)> PlanAsync(
        NpgsqlConnection connection, NpgsqlTransaction transaction, string queue, WorkflowOffer offer, int free, CancellationToken cancellationToken)
    {
        var batch = new NpgsqlBatch(connection, transaction)
        {
            BatchCommands =
            {
                new NpgsqlBatchCommand(Sql["CountRunning"]) { Parameters = { Of(queue) } },
                new NpgsqlBatchCommand(Sql["LoadQueueLimit"]) { Parameters = { Of(queue) } },
                new NpgsqlBatchCommand(Sql["LoadCandidates"])
                {
                    Parameters =
                    {
                        Of(queue),
                        Of(offer.Codes),
                        Of(free),
                        Of(Window),
                        new NpgsqlParameter { Value = (object?)_lookedTo?.Priority ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Smallint },
                        new NpgsqlParameter { Value = (object?)_lookedTo?.Key ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                    },
                },
            },
        };
        await using var disposing = batch.ConfigureAwait(false);
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var running = new Dictionary<string, int>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            running[reader.IsDBNull(0) ? "" : reader.GetString(0)] = reader.GetInt32(1);
        }

        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        int? most = null;
        TokenBucket? tokens = null;
        if (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            (most, tokens) = (reader.IsDBNull(0) ? null : reader.GetInt32(0), Bucket(reader, 1));
        }

        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        var candidates = new List<ClaimCandidate>();
        var pairs = new HashSet<(short Priority, string Key)>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            var (priority, key) = (reader.GetInt16(0), reader.IsDBNull(1) ? null : reader.GetString(1));
            if (key is not null)
            {
                pairs.Add((priority, key));
            }

            if (!reader.IsDBNull(2))
            {
                candidates.Add(new ClaimCandidate(
                    reader.GetGuid(2),
                    priority,
                    key,
                    reader.IsDBNull(4) ? null : reader.GetInt32(4),
                    reader.GetFieldValue<DateTimeOffset>(3),
                    reader.IsDBNull(5) ? null : reader.GetInt32(5),
                    Bucket(reader, 6)));
            }
        }

        LookedAt(pairs);
        return (ClaimPlanner.Pick(free, most, tokens, running, candidates), _lookedTo is not null);
    }

    private void LookedAt(HashSet<(short Priority, string Key)> pairs)
    {
        var order = Comparer<(short Priority, string Key)>.Create((left, right) =>
            left.Priority != right.Priority ? left.Priority.CompareTo(right.Priority) : string.CompareOrdinal(left.Key, right.Key));
        var beyond = _lookedTo is { } before ? pairs.Count(pair => order.Compare(pair, before) > 0) : pairs.Count;
        _lookedTo = beyond >= Window ? pairs.Max(order) : null;
    }

    private static TokenBucket? Bucket(NpgsqlDataReader reader, int column) => reader.IsDBNull(column)
        ? null
        : new TokenBucket(reader.GetDouble(column), TimeSpan.FromSeconds(reader.GetDouble(column + 1)));

    private static NpgsqlParameter<T> Of<T>(T value) => new() { TypedValue = value };
}
