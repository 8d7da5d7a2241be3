using Npgsql;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>Statements of one transaction, and what every transaction of the exporter begins with.</summary>
internal static class Statements
{
    /// <summary>A transaction whose commit is durable, and which the server ends when this process is frozen between two of its statements.</summary>
    public static async Task<NpgsqlTransaction> BeginAsync(NpgsqlConnection connection, CancellationToken cancellationToken, string? sessionName = null)
    {
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        var name = sessionName is null ? "" : $"set local application_name = {Quoted.Text(sessionName)};";
        await ExecuteAsync(
            transaction,
            $"""
            set local idle_in_transaction_session_timeout = '15s';
            {name}
            select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'
            """,
            cancellationToken).ConfigureAwait(false);
        return transaction;
    }

    /// <summary>Executes statements without parameters.</summary>
    /// <returns>Rows that were changed.</returns>
    public static async Task<int> ExecuteAsync(NpgsqlTransaction transaction, string sql, CancellationToken cancellationToken)
    {
        var command = new NpgsqlCommand(sql, transaction.Connection, transaction);
        await using var disposing = command.ConfigureAwait(false);
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Executes a statement with numbered parameters.</summary>
    public static NpgsqlCommand Command(NpgsqlConnection connection, NpgsqlTransaction? transaction, string sql, params object[] values)
    {
        var command = new NpgsqlCommand(sql, connection, transaction);
        foreach (var value in values)
        {
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        }

        return command;
    }

    /// <summary>Holds up everybody else who wants to change the same thing, until the transaction ends.</summary>
    public static async Task LockAsync(NpgsqlTransaction transaction, string what, CancellationToken cancellationToken)
    {
        var command = Command(transaction.Connection!, transaction, "select pg_advisory_xact_lock(hashtextextended($1, 0))", "exporter:" + what);
        await using var disposing = command.ConfigureAwait(false);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }
}
