using Npgsql;

namespace Exporter.Engine.Storage;

/// <summary>A table that fills and empties, or an index of one.</summary>
/// <param name="Name">Its name in the schema engine.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Rows">At most so many rows of the table are alive, as far as vacuum and the statistics know.</param>
/// <param name="Written">How many rows were written that each need an entry, since the statistics began.</param>
/// <param name="IsLeftover">Whether a rebuild that broke off has left it behind.</param>
/// <param name="Rebuild">The statement that rebuilds it; a table is vacuumed.</param>
/// <param name="Drop">The statement that drops it.</param>
internal sealed record TableIndex(string Name, long Bytes, long Rows, long Written, bool IsLeftover, string Rebuild, string Drop)
{
    // Of a run's id with what a page of an index keeps free: a generous guess.
    private const long BytesOfEntry = 64;

    /// <summary>Whether it is at least four times as large as what stands in it, and as what will soon stand there again, may need.</summary>
    /// <param name="writtenBefore">What <see cref="Written"/> was a while ago.</param>
    public bool IsMostlyEmpty(long writtenBefore) =>
        Written >= writtenBefore && Bytes >= 4 * BytesOfEntry * (Rows + Written - writtenBefore);
}

/// <summary>Looks at the indexes of tables that fill and empty, and rebuilds them.</summary>
internal static class IndexStore
{
    // Seconds; the statement itself ends before.
    private const int LongestRebuild = 90;
    private static readonly SqlFile Sql = SqlFile.Load(typeof(IndexStore).Assembly, "sql/indexes.sql");

    /// <summary>The indexes that this user may rebuild now, and the transactions that are under way.</summary>
    public static async Task<(List<TableIndex> Indexes, HashSet<string> Transactions)> LookAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var batch = new NpgsqlBatch(connection) { BatchCommands = { new(Sql["LookAtIndexes"]), new(Sql["ListTransactions"]) } };
        await using var disposing = batch.ConfigureAwait(false);
        var reader = await batch.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var indexes = new List<TableIndex>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            indexes.Add(new TableIndex(
                reader.GetString(0), reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3), reader.GetBoolean(4), reader.GetString(5), reader.GetString(6)));
        }

        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        var transactions = new HashSet<string>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            transactions.Add(reader.GetString(0));
        }

        return (indexes, transactions);
    }

    /// <summary>Takes the lock that keeps this to one session at a time, and bounds what it then waits for.</summary>
    /// <returns>False when another session has the lock.</returns>
    public static async Task<bool> BeginAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var take = new NpgsqlCommand(Sql["TryLockUpkeep"], connection);
        await using var disposingTake = take.ConfigureAwait(false);
        if (await take.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is not true)
        {
            return false;
        }

        await ExecuteAsync(connection, Sql["LimitUpkeep"], cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>Rebuilds or drops an index, outside of any transaction.</summary>
    public static async Task ExecuteAsync(NpgsqlConnection connection, string statement, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(statement, connection) { CommandTimeout = LongestRebuild };
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The size of an index in bytes.</summary>
    public static async Task<long> SizeAsync(NpgsqlConnection connection, string name, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(Sql["SizeOfIndex"], connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = name } } };
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) as long? ?? 0;
    }
}
