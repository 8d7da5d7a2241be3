using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>What happens to runs from outside: signals, the ends of parents and children, deadlines.</summary>
internal sealed class EventStore(NpgsqlDataSource data)
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(EventStore).Assembly, "sql/events.sql");
    private static readonly SqlFile Client = SqlFile.Load(typeof(EventStore).Assembly, "sql/client.sql");
    private static readonly SqlFile Steering = SqlFile.Load(typeof(EventStore).Assembly, "sql/steering.sql");

    /// <summary>How many events a run has had; read before what they may have brought.</summary>
    public async Task<long> SeenAsync(Guid runId, CancellationToken cancellationToken)
    {
        var command = Command(data, Sql["SeenEvents"], Of(runId));
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) as long? ?? 0;
    }

    public async Task<bool> HasSignalAsync(Guid runId, string name, CancellationToken cancellationToken)
    {
        var command = Command(data, Sql["HasSignal"], Of(runId), Of(name));
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is true;
    }

    /// <summary>Takes the oldest signal of a name, in the transaction that records it; null when there is none.</summary>
    public static async Task<(byte[] Payload, DateTimeOffset SentAt)?> TakeSignalAsync(
        NpgsqlTransaction transaction, Guid runId, string name, int place, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(Sql["TakeSignal"], transaction.Connection, transaction) { Parameters = { Of(runId), Of(name), Of(place) } };
        await using var disposing = command.ConfigureAwait(false);
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        return await reader.ReadAsync(cancellationToken).ConfigureAwait(false)
            ? (reader.GetFieldValue<byte[]>(0), reader.GetFieldValue<DateTimeOffset>(1))
            : null;
    }

    /// <summary>Notes that a run has children, in the transaction that starts one.</summary>
    public static async Task MarkParentAsync(NpgsqlTransaction transaction, Guid runId, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(Sql["MarkParent"], transaction.Connection, transaction) { Parameters = { Of(runId) } };
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends runs whose execution timeout has passed.</summary>
    public async Task TimeOutAsync(CancellationToken cancellationToken)
    {
        var command = Command(data, Sql["TimeOutRuns"]);
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Carries the ends of runs to their parents and children.</summary>
    /// <returns>False when there is more to do.</returns>
    public async Task<bool> CarryAsync(CancellationToken cancellationToken)
    {
        var done = await WakeParentsAsync(cancellationToken).ConfigureAwait(false);
        var ended = await RowsAsync(Sql["EndedParents"], reader => (Relay: reader.GetInt64(0), RunId: reader.GetGuid(1)), cancellationToken)
            .ConfigureAwait(false);
        if (ended.Count == 0)
        {
            return done;
        }

        var children = await RowsAsync(
            Sql["OrphanedChildren"],
            reader => (RunId: reader.GetGuid(0), Policy: reader.GetString(1), Parent: reader.GetGuid(2)),
            cancellationToken,
            Of(ended.Select(parent => parent.RunId).ToArray())).ConfigureAwait(false);
        foreach (var (child, policy, parent) in children)
        {
            // One by one: a transaction that waits for the rows of several runs could wait in a circle.
            await EndChildAsync(ended.First(relay => relay.RunId == parent).Relay, child, policy == "cancel", cancellationToken).ConfigureAwait(false);
        }

        var forget = Command(data, Sql["ForgetRelay"], Of(ended.Select(parent => parent.Relay).ToArray()));
        await using var disposingForget = forget.ConfigureAwait(false);
        await forget.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        return false;
    }

    /// <summary>Cancels or terminates a child of a parent that has ended, unless somebody else has carried that end meanwhile.</summary>
    internal async Task EndChildAsync(long relay, Guid child, bool cancel, CancellationToken cancellationToken)
    {
        var connection = await data.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = connection.ConfigureAwait(false);
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var ending = transaction.ConfigureAwait(false);
        var hold = new NpgsqlCommand(Sql["HoldRelay"], connection, transaction) { Parameters = { Of(relay) } };
        await using (hold.ConfigureAwait(false))
        {
            if (await hold.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is null)
            {
                return;
            }
        }

        var end = new NpgsqlCommand(cancel ? Client["CancelRun"] : Steering["TerminateRuns"], connection, transaction);
        await using (end.ConfigureAwait(false))
        {
            end.Parameters.Add(cancel ? Of(child) : Of(new[] { child }));
            if (!cancel)
            {
                end.Parameters.Add(Of("Terminated with its parent."));
            }

            await end.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }

        await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task<bool> WakeParentsAsync(CancellationToken cancellationToken)
    {
        var counts = await RowsAsync(Sql["WakeParents"], reader => (Done: reader.GetInt64(0), Taken: reader.GetInt64(1)), cancellationToken)
            .ConfigureAwait(false);
        return counts[0].Taken == 0;
    }

    private async Task<List<T>> RowsAsync<T>(
        string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        var command = Command(data, sql, parameters);
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

    private static NpgsqlParameter<T> Of<T>(T value) => new() { TypedValue = value };

    private static NpgsqlCommand Command(NpgsqlDataSource data, string sql, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = data.CreateCommand(sql);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }
}
